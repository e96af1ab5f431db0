"""A built site in a browser without a network: are formulas set, is the console quiet, do pages fit a telephone?

python docs/check_pages.py docs/_build/html

Needs Chromium and its driver (Debian: chromium, chromium-driver); without them it says so and checks nothing.
"""

import shutil
import sys
from pathlib import Path

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

WIDTH = 400
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (  # as root and in a container, too
    *("headless=new", "no-sandbox", "disable-dev-shm-usage"),
    *("hide-scrollbars", "host-resolver-rules=MAP * ~NOTFOUND"),
)

# MathJax sets the formulas after the page has loaded. TeX may stand in code and nowhere else. Code, tables and formulas
# scroll where they are too wide; what else holds more than it shows moves the whole text sideways, or cuts it off.
SEEN = r"""
const done = arguments[arguments.length - 1];
const all = (selector, node = document) => [...node.querySelectorAll(selector)];
const SCROLLS = "pre, .math, .pst-scrollable-table-container, .ellipsis";
const clips = (node) => node == document.documentElement || getComputedStyle(node).overflowX != "visible";
const isWide = (node) => node.scrollWidth > Math.max(node.clientWidth, 1) + 1 && clips(node);
const sticksOut = (node) => (inner) =>
  inner.getBoundingClientRect().right > node.getBoundingClientRect().right + 1 && !inner.closest(SCROLLS);
const name = (node) => `${node.tagName.toLowerCase()}.${node.className} "${node.textContent.trim().slice(0, 60)}"`;
(window.MathJax ? MathJax.startup.promise : Promise.resolve()).then(() => {
  const words = document.body.cloneNode(true);
  all("pre, code, script, style, mjx-container", words).forEach((node) => node.remove());
  done({
    formulas: all(".math").length,
    typeset: all(".math mjx-container").length,
    errors: all("[data-mjx-error], mjx-container [fill=red]").map((node) => node.outerHTML),
    raw: words.textContent.match(/\\[()[\]]|\$\$|\\[a-zA-Z]{2,}[{_^ ]/g) || [],
    wide: all("*")
      .filter((node) => isWide(node) && !node.closest(SCROLLS))
      .map((node) => name(all("*", node).filter(sticksOut(node)).pop() || node)),
  });
});
"""


def browser_of(binary, driver):
    """A headless Chromium that resolves no name of a host, in a window of a telephone's width."""
    options = ChromeOptions()
    options.binary_location = binary
    for argument in ARGUMENTS:
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "SEVERE"})
    browser = Chrome(options=options, service=Service(driver))
    browser.set_script_timeout(120)
    metrics = {"width": WIDTH, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    return browser


def faults_of(browser, page):
    """What is wrong with a page, and the number of its formulas."""
    browser.get(page.as_uri())
    seen = browser.execute_async_script(SEEN)
    faults = [f"wrong formula: {error[:200]}" for error in seen["errors"]] + [f"raw TeX: {tex}" for tex in seen["raw"]]
    faults += [f"does not fit {WIDTH} px: {node}" for node in sorted(set(seen["wide"]))]
    faults += [f"console: {entry['message']}" for entry in browser.get_log("browser")]
    if seen["typeset"] < seen["formulas"]:
        faults.append(f"{seen['formulas'] - seen['typeset']} of {seen['formulas']} formulas are not set")
    return faults, seen["formulas"]


def main(site):
    """Print what is wrong; the exit status says whether anything is."""
    binary, driver = next(filter(None, map(shutil.which, BROWSERS)), None), shutil.which("chromedriver")
    if not (binary and driver):
        print("pages are not checked in a browser: there is no Chromium, or no chromedriver")
        return False
    pages = [page for page in sorted(site.rglob("*.html")) if not {"_static", "_code"} & set(page.parts)]
    browser, wrong, formulas = browser_of(binary, driver), [], 0
    try:
        for page in pages:
            faults, count = faults_of(browser, page)
            wrong += [f"{page.relative_to(site)}: {fault}" for fault in faults]
            formulas += count
    finally:
        browser.quit()
    print("\n".join([*wrong, f"{len(pages)} pages and {formulas} formulas in a browser, {len(wrong)} faults"]))
    return bool(wrong) or not formulas


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
