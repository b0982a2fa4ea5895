// build.mjs SOURCE.js WIT OUT.wasm: a component of a script that listens for `fetch`.

import { componentize } from '@bytecodealliance/componentize-js';
import { readFile, writeFile } from 'node:fs/promises';
const { component } = await componentize(await readFile(process.argv[2], 'utf8'), { witPath: process.argv[3], worldName: 'handler', enableFeatures: ['http', 'fetch-event'] });
await writeFile(process.argv[4], component);
