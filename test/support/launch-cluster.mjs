// `npm run cluster` without the set-up before it, which tests have behind them. Arguments: its options.
import { runProgram } from '../../setup/program.mjs';
import { runCluster } from '../../setup/run-cluster.mjs';

await runProgram((context) => runCluster(context, process.argv.slice(2)));
