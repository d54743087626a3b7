// The API keys that somebody typed: they live as long as this tab, and go nowhere but to this server.

function kept(name) {
  return {
    get: () => sessionStorage.getItem(name),
    keep: (key) => sessionStorage.setItem(name, key.trim()),
    forget: () => sessionStorage.removeItem(name),
  };
}

export const searchKey = kept("hashlake search key");
export const adminKey = kept("hashlake admin key");
