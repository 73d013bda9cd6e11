// Lists of attributes that are made once: the engine knows a list that it has seen, and need not read it again.
import type { OpAttribute } from './binding.ts';

export class AttributeLists {
  private readonly lists = new Map<number, readonly OpAttribute[]>();

  /** The list under a number that says all that it depends on. */
  of(key: number, make: () => readonly OpAttribute[]): readonly OpAttribute[] {
    let list = this.lists.get(key);
    if (list === undefined) {
      list = make();
      this.lists.set(key, list);
    }
    return list;
  }
}
