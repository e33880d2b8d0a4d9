(() => {
  const list = document.getElementById("prompts"), bar = document.getElementById("pager");
  if (!list || !bar) return;
  const cases = [...list.children], size = 10;
  const select = bar.querySelector("select"), [back, next] = bar.querySelectorAll("button");
  let page = 0;
  const draw = () => {
    const shown = cases.filter((c) => !select.value || c.dataset.f.split(" ").includes(select.value));
    const last = Math.max(0, Math.ceil(shown.length / size) - 1);
    page = Math.min(Math.max(page, 0), last);
    const now = new Set(shown.slice(page * size, (page + 1) * size));
    for (const c of cases) c.hidden = !now.has(c);
    bar.querySelector("span").textContent =
      shown.length ? `${page * size + 1} to ${page * size + now.size} of ${shown.length}` : "none";
    back.disabled = page === 0;
    next.disabled = page === last;
  };
  select.addEventListener("change", () => { page = 0; draw(); });
  back.addEventListener("click", () => { page -= 1; draw(); });
  next.addEventListener("click", () => { page += 1; draw(); });
  bar.hidden = false;
  draw();
})();
