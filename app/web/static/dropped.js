// The files of a drop, also in folders.

const isHidden = (name) => name.startsWith("."); // .DS_Store, ._photo.jpg, .thumbnails

export const isHiddenIn = ({ webkitRelativePath: path }) => Boolean(path) && path.split("/").some(isHidden);

async function* filesBelow(entry) {
  if (entry.isFile) return yield await new Promise((resolve, reject) => entry.file(resolve, reject));
  const reader = entry.createReader();
  const read = () => new Promise((resolve, reject) => reader.readEntries(resolve, reject));
  for (let entries; (entries = await read()).length; ) // some at a time, none at the end
    for (const child of entries) if (!isHidden(child.name)) yield* filesBelow(child);
}

/** To be called in the event's handler: the browser forgets the items after it. */
export async function filesOf({ items, files }) {
  const entries = [...items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return { found: [...files], unreadable: [] };
  const [found, unreadable] = [[], []];
  for (const entry of entries) {
    try {
      for await (const file of filesBelow(entry)) found.push(file);
    } catch {
      unreadable.push(entry.name);
    }
  }
  return { found, unreadable };
}
