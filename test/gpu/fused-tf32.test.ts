import { testEngine } from './engine-tests.ts';

await testEngine({ kernels: 'fused', products: 'tf32' });
