// Which workers each job has as its home. Pure: the same question gets the same answer.
//
// With at least as many jobs as workers, each job has one worker: no barriers between workers, and its model is loaded
// once. With more workers than jobs they are spread evenly. Nobody is given more than one above anybody else, and within
// that as little as possible moves. Jobs of other coordinators count, as far as is known of them: new jobs go where there
// is least; what is at home stays, unless two coordinators have met on a worker while others are nobody's.

export interface HomeWorker {
  readonly id: string;
  /** Digests of weight files that it holds in memory. */
  readonly models: ReadonlySet<string>;
  /** Jobs of other coordinators that have it as a home. */
  readonly others: number;
  /** Of two coordinators that share it while workers are free, the other one stays. */
  readonly mustYield: boolean;
}

export interface HomeJob {
  readonly id: string;
  readonly priority: number;
  /** Digests of its weight files. */
  readonly models: readonly string[];
  /** Its home until now; workers that are gone may still be named. */
  readonly home: readonly string[];
}

/** @param jobs in the order in which they came. @param otherJobs jobs of other coordinators on these workers.
 * @returns ids of workers by id of the job. */
export function allocateHomes(
  workers: readonly HomeWorker[],
  jobs: readonly HomeJob[],
  otherJobs = 0,
): Map<string, string[]> {
  if (workers.length === 0) return new Map(jobs.map(({ id }) => [id, []]));
  if (jobs.length === 0) return new Map();
  return jobs.length + otherJobs >= workers.length
    ? shareWorkers(workers, jobs)
    : spreadWorkers(workers, jobs, otherJobs);
}

function shareWorkers(workers: readonly HomeWorker[], jobs: readonly HomeJob[]): Map<string, string[]> {
  const others = new Map(workers.map((worker) => [worker.id, worker.others]));
  const least = fillLevel([...others.values()], jobs.length);
  let more = jobs.length - [...others.values()].reduce((sum, count) => sum + Math.max(0, least - count), 0);
  const loads = new Map(others);
  const homes = new Map<string, string[]>();
  const hasRoom = (id: string) => loads.get(id)! < least || (loads.get(id) === least && more > 0);
  // Two coordinators that both see a worker too full would both leave it, and meet again on the next one.
  const mayStay = (id: string) => hasRoom(id) || (others.get(id)! > 0 && loads.get(id)! <= least + 1);
  const take = (job: HomeJob, id: string) => {
    if (loads.get(id) === least) more -= 1;
    loads.set(id, loads.get(id)! + 1);
    homes.set(job.id, [id]);
  };
  const ordered = jobs.toSorted((a, b) => b.priority - a.priority);
  for (const job of ordered) {
    const kept = job.home.filter((id) => loads.has(id) && mayStay(id));
    if (kept.length > 0)
      take(
        job,
        best(kept, (id) => -loads.get(id)!),
      );
  }
  for (const job of ordered) {
    if (homes.has(job.id)) continue;
    const open = workers.filter(({ id }) => hasRoom(id));
    // A whole job's worth of room never outweighs a model that is there already: the counts come out the same.
    const choice = open.length > 0 ? open : workers;
    take(job, best(choice, (worker) => (holds(worker, job) ? jobs.length : 0) - loads.get(worker.id)!).id);
  }
  return homes;
}

/** The highest level to which `count` more can raise all of these. */
function fillLevel(heights: readonly number[], count: number): number {
  const needed = (level: number) => heights.reduce((sum, height) => sum + Math.max(0, level - height), 0);
  let level = Math.min(...heights) + Math.floor(count / heights.length);
  while (needed(level + 1) <= count) level += 1;
  return level;
}

function spreadWorkers(
  workers: readonly HomeWorker[],
  jobs: readonly HomeJob[],
  otherJobs: number,
): Map<string, string[]> {
  const all = jobs.length + otherJobs;
  const least = Math.floor(workers.length / all);
  const more = Math.floor(((workers.length % all) * jobs.length) / all);
  const free = new Map(workers.map((worker) => [worker.id, worker]));
  // Of those that must yield, as many as there are workers of nobody's to go to.
  let unclaimed = workers.filter(
    ({ id, others }) => others === 0 && !jobs.some(({ home }) => home.includes(id)),
  ).length;
  const present = (job: HomeJob) => job.home.filter((id) => free.has(id)).length;
  const ordered = jobs.toSorted((a, b) => b.priority - a.priority || present(b) - present(a));
  const homes = new Map<string, string[]>();
  ordered.forEach((job, index) => {
    const size = least + (index < more ? 1 : 0);
    const there = job.home.flatMap((id) => free.get(id) ?? []).toSorted((a, b) => a.others - b.others);
    const kept = there.slice(0, size).filter(({ mustYield }) => !mustYield || unclaimed-- <= 0);
    for (const { id } of kept) free.delete(id);
    homes.set(
      job.id,
      kept.map(({ id }) => id),
    );
  });
  ordered.forEach((job, index) => {
    const home = homes.get(job.id)!;
    const size = least + (index < more ? 1 : 0);
    while (home.length < size) {
      const { id } = best([...free.values()], (worker) => (holds(worker, job) ? 1 : 0) - 2 * worker.others);
      free.delete(id);
      home.push(id);
    }
  });
  return homes;
}

function holds({ models }: HomeWorker, job: HomeJob): boolean {
  return job.models.some((digest) => models.has(digest));
}

/** The first with the highest score; `list` must not be empty. */
function best<T>(list: readonly T[], score: (item: T) => number): T {
  return list.reduce((found, item) => (score(item) > score(found) ? item : found));
}
