// Upload, search, page and rate with the client of @hey-api/openapi-ts: ADDRESS PICTURE
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { client } from "./hey/client.gen.js";
import { createFeedback, listImages, search, uploadImages } from "./hey/sdk.gen.js";
import type { paths } from "./schema.js"; // of openapi-typescript

type SearchBody = paths["/api/v1/search"]["post"]["requestBody"]["content"]["application/json"];

const [, , address = "", picture = ""] = process.argv;
client.setConfig({ baseUrl: address, throwOnError: true });

const file = new File([readFileSync(picture)], "from node.jpg");
const sent = await uploadImages({ path: { name: "default" }, body: { file: [file] }, throwOnError: true });
assert.equal(sent.data.data[0]?.original_filename, "from node.jpg");

const question = { query: "a green tree", limit: 1 } satisfies SearchBody; // of both generators
const first = (await search({ body: question, throwOnError: true })).data;
const following = (await search({ body: { cursor: first.next_cursor }, throwOnError: true })).data;
assert.notEqual(first.hits[0]?.id, following.hits[0]?.id);
const rated = await createFeedback({ body: { token: first.token ?? "", rating: 9 }, throwOnError: true });
assert.equal(rated.data.rating, 9);

let [count, cursor]: [number, string | null] = [0, null];
do {
  const query: { limit: number; cursor: string | null } = { limit: 1, cursor };
  const page = (await listImages({ query, throwOnError: true })).data;
  count += page.data.length;
  cursor = page.next_cursor;
} while (cursor);
assert.ok(count > 1);
