// Prints what the module says that its scenarios came to: node run.mjs MODULE
import { readFileSync } from "node:fs";

const { instance } = await WebAssembly.instantiate(readFileSync(process.argv[2]), {});
const { text_length, text_byte } = instance.exports;
const bytes = Uint8Array.from({ length: text_length() }, (_, index) => text_byte(index));
process.stdout.write(new TextDecoder().decode(bytes));
