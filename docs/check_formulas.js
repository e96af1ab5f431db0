// Are all formulas of a built site formulas to the copy of MathJax that it brings? No network and no browser needed.
//
//   node docs/check_formulas.js MATHJAX docs/_build/html
//
// MATHJAX is the folder static/mathjax of the Python package sphinx-mathjax-offline.

const fs = require("fs");
const path = require("path");
const [mathjax, site] = process.argv.slice(2).map((folder) => path.resolve(folder));

const FORMULA = /<(?:span|div) class="math[^"]*">([\s\S]*?)<\/(?:span|div)>/g;
const ENTITIES = { "&lt;": "<", "&gt;": ">", "&#39;": "'", "&#x27;": "'", "&quot;": '"', "&amp;": "&" };

function* formulasOf(file) {
  for (const [, body] of fs.readFileSync(file, "utf8").matchAll(FORMULA)) {
    const tex = body.match(/\\[([]([\s\S]*)\\[)\]]/);
    if (tex) yield tex[1].replace(/&\w+;|&#x?\d+;/g, (entity) => ENTITIES[entity] || entity);
  }
}

const config = {
  loader: { paths: { mathjax }, load: ["input/tex-full", "output/svg", "adaptors/liteDOM"] },
  startup: { typeset: false },
};
require(path.join(mathjax, "node-main.js"))
  .init(config)
  .then((MathJax) => {
    const { adaptor } = MathJax.startup;
    let [count, wrong] = [0, 0];
    for (const file of fs.readdirSync(site, { recursive: true }).filter((name) => name.endsWith(".html"))) {
      for (const tex of formulasOf(path.join(site, file))) {
        count += 1;
        if (/data-mjx-error/.test(adaptor.outerHTML(MathJax.tex2svg(tex)))) {
          wrong += 1;
          console.log(`${file}: not a formula: ${tex}`);
        }
      }
    }
    console.log(`${count} formulas, ${wrong} wrong`);
    process.exit(wrong || !count ? 1 : 0);
  });
