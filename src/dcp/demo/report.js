// Moves one cursor over all plots and shows each series' value at that instant beside its name.
const left = 62, right = 16, width = 1180;
const plots = [...document.querySelectorAll("figure")].map((figure) => {
  const data = JSON.parse(figure.querySelector("script").textContent);
  const keys = [...figure.querySelectorAll(".key")].map((key) => key.appendChild(document.createElement("output")));
  return { svg: figure.querySelector(".plot"), cursor: figure.querySelector(".cursor"), data, keys };
});
const before = (points, at) => {
  let found = null;
  for (const point of points) { if (point[0] > at) break; found = point; }
  return found;
};
const show = (at) => plots.forEach(({ cursor, data, keys }) => {
  const x = left + (at / data.until) * (width - left - right);
  cursor.setAttribute("x1", x); cursor.setAttribute("x2", x); cursor.classList.add("on");
  data.readings.forEach(([, points], index) => {
    const point = before(points, at);
    keys[index].textContent = point && point[1] !== null ? Number(point[1].toPrecision(3)).toLocaleString("en") : "–";
  });
});
const hide = () => plots.forEach(({ cursor, keys }) => {
  cursor.classList.remove("on");
  keys.forEach((key) => { key.textContent = ""; });
});
plots.forEach(({ svg, data }) => {
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width * width;
    const at = (x - left) / (width - left - right) * data.until;
    if (at >= 0 && at <= data.until) show(at); else hide();
  });
  svg.addEventListener("pointerleave", hide);
});
