// State that views watch. A book also remembers how to go back.

const LONGEST_HISTORY = 100;

/** A value and those who want to know of its changes. Listeners get (now, before). */
export function createStore(initial) {
  let value = initial;
  const listeners = new Set();
  return {
    get: () => value,
    set(patch) {
      const before = value;
      const changed = Object.keys(patch).some((key) => patch[key] !== before[key]);
      if (!changed) return;
      value = { ...before, ...patch };
      for (const listener of listeners) listener(value, before);
    },
    watch(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/**
 * A document with undo. Documents are never changed, only replaced.
 *
 * `commit` is a step that a person took, and can undo; `amend` brings in what a server answered, which no one undoes
 * by itself. `open` puts another document in its place and forgets the steps.
 */
export function createBook(initial) {
  let page = initial;
  let past = [];
  let future = [];
  const listeners = new Set();

  function replace(next) {
    const before = page;
    page = next;
    for (const listener of listeners) listener(page, before);
  }

  return {
    get: () => page,
    watch(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    commit(label, change) {
      const next = change(page);
      if (next === page) return;
      past = [...past.slice(1 - LONGEST_HISTORY), { label, page }];
      future = [];
      replace(next);
    },
    amend(change) {
      const next = change(page);
      if (next !== page) replace(next);
    },
    open(next) {
      past = [];
      future = [];
      replace(next);
    },
    undo: () => turn(() => past, (steps) => (past = steps), () => future, (steps) => (future = steps)),
    redo: () => turn(() => future, (steps) => (future = steps), () => past, (steps) => (past = steps)),
    canUndo: () => past.at(-1)?.label ?? null,
    canRedo: () => future.at(-1)?.label ?? null,
  };

  function turn(from, setFrom, to, setTo) {
    const step = from().at(-1);
    if (!step) return null;
    setFrom(from().slice(0, -1));
    setTo([...to(), { label: step.label, page }]);
    // What is being written is not a step: it stays as it is.
    replace({ ...step.page, draft: keptDraft(step, page) });
    return step.label;
  }
}

function keptDraft(step, page) {
  return page.draft.length || step.page.draft.length === 0 ? page.draft : step.page.draft;
}
