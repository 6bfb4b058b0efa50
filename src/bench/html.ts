import type { BenchResult } from "./bench.ts";
export const benchAsHtml = (result: BenchResult): string => JSON.stringify(result);
