// What can be seen of each plot: see `report.rs`.
const seen = [...document.querySelectorAll("figure")].map((figure) => {
  const svg = figure.querySelector("svg.plot");
  const frame = svg.getBoundingClientRect();
  const large = (mark) => {
    const box = mark.getBoundingClientRect();
    return box.width + box.height > 4;
  };
  const texts = [...svg.querySelectorAll("text")].map((text) => [text.textContent, text.getBoundingClientRect()]);
  const out = ([, box]) =>
    box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1 || box.bottom > frame.bottom + 1;
  const over = (a, b) =>
    Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1.5 && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 4;
  const covered = texts.flatMap(([a, box], at) =>
    texts.slice(at + 1).filter(([, other]) => over(box, other)).map(([b]) => `${a} / ${b}`));
  return {
    name: figure.id,
    width: frame.width,
    marks: [...svg.querySelectorAll("path.curve:not(.key), path.whisker, rect.cell, rect[class^=f]")].filter(large).length,
    cut: texts.filter(out).map(([text]) => text),
    covered,
  };
});
document.body.textContent = JSON.stringify(seen);
