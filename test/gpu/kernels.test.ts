// Plain and fused kernels on a GPU, function by function, against float64.
import { chooseEngine } from '../support/engine-under-test.ts';
import { requireGpu, testedDevice } from './require-gpu.ts';

chooseEngine({ kernels: null, products: 'float32', device: testedDevice() });
requireGpu();
await import('../integration/engine/kernels.test.ts');
await import('../integration/engine/system-kernels.test.ts');
