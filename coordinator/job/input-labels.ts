// Messages about inputs name them as their user does, not by where they lie on a coordinator.
import { EspalierError, toEspalierError } from '../../shared/errors.ts';
import type { JobEvent } from '../job-events.ts';
import type { GatheredInput, GatheredInputs } from './cluster-inputs.ts';

export class InputLabels {
  #inputs: readonly GatheredInput[] = [];

  add({ model, data, evaluation }: GatheredInputs): void {
    this.#inputs = [model, data, ...(evaluation === null ? [] : [evaluation])];
  }

  inText(text: string): string {
    return this.#inputs.reduce((told, input) => told.replaceAll(input.path, input.label), text);
  }

  inEvent(event: JobEvent): JobEvent {
    return event.kind === 'notice' ? { ...event, text: this.inText(event.text) } : event;
  }

  inError(caught: unknown): EspalierError {
    const error = toEspalierError(caught);
    const [message, action] = [this.inText(error.message), this.inText(error.action)];
    if (message === error.message && action === error.action) return error;
    return new EspalierError(error.code, message, { action, cause: error });
  }
}
