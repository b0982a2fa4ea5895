// An HTTP component in JavaScript, running SpiderMonkey: the same answers as ../c/echo.c, for the web's own Request
// and Response. componentize-js makes a component of 12 MB of it; `make components-javascript` says how.

function marked(headers) {
  const found = new Headers();
  for (const [name, value] of headers) if (name.startsWith("x-")) found.append(name, value);
  return found;
}

async function answer(request) {
  const { pathname, search } = new URL(request.url);
  if (pathname.startsWith("/status/")) return new Response("", { status: Number(pathname.slice(8)), headers: { "content-type": "text/plain" } });
  if (pathname.startsWith("/bytes/")) return new Response(new Uint8Array(Number(pathname.slice(7))));
  if (pathname.startsWith("/echo")) return new Response(await request.arrayBuffer(), { headers: marked(request.headers) });
  return new Response(`${request.method} ${pathname}${search}\n`, { headers: { "content-type": "text/plain" } });
}

addEventListener("fetch", (event) => event.respondWith(answer(event.request)));
