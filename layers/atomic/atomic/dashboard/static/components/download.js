// Bytes of an answer as a file.

// What a file of a content type is called; others end with `bin`.
const ENDINGS = {
  "application/gzip": "gz",
  "application/json": "json",
  "application/pdf": "pdf",
  "application/xml": "xml",
  "application/zip": "zip",
  "image/gif": "gif",
  "image/jpeg": "jpg",
  "image/png": "png",
  "image/svg+xml": "svg",
  "image/webp": "webp",
  "text/csv": "csv",
  "text/html": "html",
  "text/plain": "txt",
};

/** Save base64 as a file with this name, and the ending of its content type. */
export function download(base64, contentType, name) {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const type = (contentType ?? "").split(";")[0].trim().toLowerCase();
  // As bytes of no type, so that no browser opens them in the place of this page.
  const url = URL.createObjectURL(new Blob([bytes], { type: "application/octet-stream" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = `${name.replace(/[^\w.-]+/g, "-")}.${ENDINGS[type] ?? "bin"}`;
  link.click();
  URL.revokeObjectURL(url);
}
