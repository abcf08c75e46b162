// What every session shares: nothing of it casts a type.

/** Return the value; throw if it is missing. */
export function always<T>(value: T | null | undefined): T {
  if (value === null || value === undefined) throw new Error("a value is missing");
  return value;
}

export function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** What a session has seen, for the test that started it. */
export interface Seen {
  evaluated: number;
  points: number;
  panels: number;
  bytes: number;
  cancelled: number;
}

export function report(seen: Seen): void {
  console.log(JSON.stringify(seen));
}
