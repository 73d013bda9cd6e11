/** Which kernels a process is asked to compute with; "auto": fused where they can be had. */
export type KernelsWanted = 'auto' | 'fused' | 'plain';

export const KERNELS_WANTED = ['auto', 'fused', 'plain'] as const satisfies readonly KernelsWanted[];
