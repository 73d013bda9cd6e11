import { testEngine } from './engine-tests.ts';

await testEngine({ kernels: 'plain', products: 'float32' });
