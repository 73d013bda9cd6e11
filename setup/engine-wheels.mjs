// The libraries of the engine: which Python wheels hold them, pinned by version and SHA-256, and which of their files
// are kept. TensorFlow opens the CUDA libraries by name while it runs, and uses the CPU in silence when one is not
// found: so the binding itself links those of `linked`, and they are loaded before TensorFlow asks.

const TENSORFLOW_FILES = [
  { from: 'tensorflow/libtensorflow_cc.so.2', to: 'lib/libtensorflow_cc.so.2' },
  { from: 'tensorflow/libtensorflow_framework.so.2', to: 'lib/libtensorflow_framework.so.2' },
  { from: 'tensorflow/include/', to: 'include/' },
];

const CUDA_FILES = [{ from: 'nvidia/', to: 'nvidia/', only: '.so' }];

const TENSORFLOW_CPU = {
  name: 'tensorflow-cpu',
  version: '2.21.0',
  megabytes: 274,
  sha256: 'dcc8afd32930e42d5296b6ee19078b773706830af4ea97fbe503b9f5e0f820cb',
  files: TENSORFLOW_FILES,
};

const TENSORFLOW_GPU = {
  name: 'tensorflow',
  version: '2.21.0',
  megabytes: 573,
  sha256: 'b3b95643c4e70eb925839938fb35cbe142f317ec84af6844ee61513713bb13c0',
  files: TENSORFLOW_FILES,
};

// What `pip install tensorflow[and-cuda]` chose for 2.21.0, without the parts that this project never loads (NCCL,
// cuRAND, CUPTI, nvcc).
const CUDA = [
  {
    name: 'nvidia-cublas-cu12',
    version: '12.9.3.13',
    megabytes: 581,
    sha256: 'd7d51055f161b317c7105ddaae90e71eda059026074ffef93cf7cde2886bfe72',
  },
  {
    name: 'nvidia-cuda-nvrtc-cu12',
    version: '12.9.86',
    megabytes: 90,
    sha256: '210cf05005a447e29214e9ce50851e83fc5f4358df8b453155d5e1918094dcb4',
  },
  {
    name: 'nvidia-cuda-runtime-cu12',
    version: '12.9.79',
    megabytes: 3,
    sha256: '25bba2dfb01d48a9b59ca474a1ac43c6ebf7011f1b0b8cc44f54eb6ac48a96c3',
  },
  {
    name: 'nvidia-cudnn-cu12',
    version: '9.28.0.42',
    megabytes: 717,
    sha256: '9ff58b7f36dacd0a93e89f8f2957b52466889217963701daa15e577317cfa375',
  },
  {
    name: 'nvidia-cufft-cu12',
    version: '11.4.1.4',
    megabytes: 201,
    sha256: 'c67884f2a7d276b4b80eb56a79322a95df592ae5e765cf1243693365ccab4e28',
  },
  {
    name: 'nvidia-cusolver-cu12',
    version: '11.7.5.82',
    megabytes: 338,
    sha256: '15da72d1340d29b5b3cf3fd100e3cd53421dde36002eda6ed93811af63c40d88',
  },
  {
    name: 'nvidia-cusparse-cu12',
    version: '12.5.10.65',
    megabytes: 366,
    sha256: '73060ce019ac064a057267c585bf1fd5a353734151f87472ff02b2c5c9984e78',
  },
  {
    name: 'nvidia-nvjitlink-cu12',
    version: '12.9.86',
    megabytes: 40,
    sha256: 'e3f1171dbdc83c5932a45f0f4c99180a70de9bd2718c1ab77d14104f6d7147f9',
  },
].map((wheel) => ({ ...wheel, files: CUDA_FILES }));

const LINKED_CUDA = [
  'nvidia/cuda_runtime/lib/libcudart.so.12',
  'nvidia/cublas/lib/libcublasLt.so.12',
  'nvidia/cublas/lib/libcublas.so.12',
  'nvidia/cufft/lib/libcufft.so.11',
  'nvidia/nvjitlink/lib/libnvJitLink.so.12',
  'nvidia/cusparse/lib/libcusparse.so.12',
  'nvidia/cusolver/lib/libcusolver.so.11',
  'nvidia/cudnn/lib/libcudnn.so.9',
  'nvidia/cuda_nvrtc/lib/libnvrtc.so.12',
];

/** Everything that one kind of device needs. `linked` are paths in the unpacked folder; `unpackedMegabytes` is its size. */
export const ENGINE_VARIANTS = {
  cpu: { variant: 'cpu', version: '2.21.0', wheels: [TENSORFLOW_CPU], linked: [], unpackedMegabytes: 1000 },
  gpu: {
    variant: 'gpu',
    version: '2.21.0',
    wheels: [TENSORFLOW_GPU, ...CUDA],
    linked: LINKED_CUDA,
    unpackedMegabytes: 5400,
  },
};
