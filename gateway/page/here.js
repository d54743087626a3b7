// A proxy may show this page and the gateway's routes below a prefix. So all addresses are relative to the page; links in
// answers begin at the root of what the gateway takes for its host.

const LINK = /(?:^|\/)((?:images|thumbnails)\/\d+|api\/collections\/[^/]+\/thumbnail)$/;

/** The address of a picture that an answer links to, below this page's own. */
export function here(link) {
  const { pathname, search } = new URL(link, document.baseURI);
  const own = pathname.match(LINK);
  return own === null ? link : new URL(".", document.baseURI).pathname + own[1] + search;
}
