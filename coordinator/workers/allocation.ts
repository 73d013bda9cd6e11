// Which workers each job has as its home. Pure: the same question gets the same answer.
//
// With at least as many jobs as workers, each job has one worker: no barriers between workers, and its model is loaded
// once. With more workers than jobs they are spread evenly. Nobody is given more than one above anybody else, and within
// that as little as possible moves.

export interface HomeWorker {
  readonly id: string;
  /** Digests of weight files that it holds in memory. */
  readonly models: ReadonlySet<string>;
}

export interface HomeJob {
  readonly id: string;
  readonly priority: number;
  /** Digests of its weight files. */
  readonly models: readonly string[];
  /** Its home until now; workers that are gone may still be named. */
  readonly home: readonly string[];
}

/** @param jobs in the order in which they came. @returns ids of workers by id of the job. */
export function allocateHomes(workers: readonly HomeWorker[], jobs: readonly HomeJob[]): Map<string, string[]> {
  if (workers.length === 0) return new Map(jobs.map(({ id }) => [id, []]));
  return jobs.length >= workers.length ? shareWorkers(workers, jobs) : spreadWorkers(workers, jobs);
}

function shareWorkers(workers: readonly HomeWorker[], jobs: readonly HomeJob[]): Map<string, string[]> {
  const least = Math.floor(jobs.length / workers.length);
  let more = jobs.length % workers.length;
  const loads = new Map(workers.map(({ id }) => [id, 0]));
  const homes = new Map<string, string[]>();
  const hasRoom = (id: string) => loads.get(id)! < least || (loads.get(id) === least && more > 0);
  const take = (job: HomeJob, id: string) => {
    if (loads.get(id) === least) more -= 1;
    loads.set(id, loads.get(id)! + 1);
    homes.set(job.id, [id]);
  };
  const ordered = jobs.toSorted((a, b) => b.priority - a.priority);
  for (const job of ordered) {
    const kept = job.home.filter((id) => loads.has(id) && hasRoom(id));
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
    take(job, best(open, (worker) => (holds(worker, job) ? jobs.length : 0) - loads.get(worker.id)!).id);
  }
  return homes;
}

function spreadWorkers(workers: readonly HomeWorker[], jobs: readonly HomeJob[]): Map<string, string[]> {
  if (jobs.length === 0) return new Map();
  const least = Math.floor(workers.length / jobs.length);
  const more = workers.length % jobs.length;
  const free = new Map(workers.map((worker) => [worker.id, worker]));
  const present = (job: HomeJob) => job.home.filter((id) => free.has(id)).length;
  const ordered = jobs.toSorted((a, b) => b.priority - a.priority || present(b) - present(a));
  const homes = new Map<string, string[]>();
  ordered.forEach((job, index) => {
    const size = least + (index < more ? 1 : 0);
    const kept = job.home.filter((id) => free.has(id)).slice(0, size);
    for (const id of kept) free.delete(id);
    homes.set(job.id, kept);
  });
  ordered.forEach((job, index) => {
    const home = homes.get(job.id)!;
    const size = least + (index < more ? 1 : 0);
    while (home.length < size) {
      const { id } = best([...free.values()], (worker) => (holds(worker, job) ? 1 : 0));
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
