// What a warm-up is told: which tasks it runs, and how large. Apart from them, since the thread in front loads this.

/** How large the model and its samples are. */
export interface WarmUpSizes {
  /** The last one computes first tokens alone: two have all operations. */
  readonly layers: number;
  readonly hiddenSize: number;
  readonly heads: number;
  readonly neurons: number;
  readonly samples: number;
  /** Of the longest. */
  readonly tokens: number;
  readonly tokensPerBatch: number;
}

/** CUDA's libraries choose kernels by the sizes of products: those of BERT-base, and micro-batches as long as need be. They take
 * half a gigabyte of the device. */
export const USUAL_WARM_UP: WarmUpSizes = {
  ...{ layers: 2, hiddenSize: 768, heads: 12, neurons: 3072 },
  ...{ samples: 128, tokens: 128, tokensPerBatch: 4096 },
};

/** In the order in which jobs need them. The first is what every job begins with; "heads" is the same for other heads than a usual
 * classifier's. */
export const WARM_UP_PARTS = ['fisher', 'heads', 'tuning', 'gradients', 'refits'] as const;
export type WarmUpPart = (typeof WARM_UP_PARTS)[number];
