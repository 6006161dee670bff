// A log is read from its end, unless somebody reads further up.

let following = true;
let at = 0;

function follow() {
  const log = document.querySelector("[data-follow]");
  if (!log) return;
  log.scrollTop = following ? log.scrollHeight : at;
  log.addEventListener("scroll", () => {
    at = log.scrollTop;
    following = log.scrollHeight - at - log.clientHeight < 40;
  }, { passive: true });
}

document.addEventListener("refreshed", follow);
follow();
