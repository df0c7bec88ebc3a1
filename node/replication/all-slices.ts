import { SLICES_COUNT } from "#ledger/slice.ts";

export const allSlices: readonly number[] = Array.from({ length: SLICES_COUNT }, (_, slice) => slice);
