import type { Frame } from "#ledger/peers.ts";

/** A copy of a frame, in one piece. */
export const wholeFrame = (frame: Frame): Buffer =>
  frame instanceof Uint8Array ? Buffer.from(frame) : Buffer.concat(frame);
