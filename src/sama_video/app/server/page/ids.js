// Names that never meet twice. `crypto.randomUUID` is missing on plain http from another machine.

/** 16 hex digits at random. */
export function freshId() {
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
