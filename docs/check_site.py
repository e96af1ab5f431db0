"""A built site: do its links lead somewhere, does it bring what it loads, and do examples and guide have pictures?

python docs/check_site.py docs/_build/html

Sphinx itself checks references, but not addresses that extensions and templates write.
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = ("stylesheet", "preload", "modulepreload", "icon", "shortcut icon")
EXAMPLES = Path(__file__).parent / "examples"


class Page(HTMLParser):
    """The addresses that a page links to, those that it loads, and the anchors that it has."""

    def __init__(self, path):
        super().__init__()
        self.links, self.loads, self.anchors = set(), set(), set()
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        """Take the attributes that matter."""
        attrs = dict(attrs)
        self.anchors |= {attrs[key] for key in ("id", "name") if attrs.get(key)}
        self.links |= {attrs[key] for key in ("href", "src") if attrs.get(key)}
        loads = attrs.get("src") or (attrs.get("href") if tag == "link" and attrs.get("rel") in LOADED else None)
        self.loads |= {loads} - {None}


def pages_of(site):
    """The pages by their files."""
    return {path: Page(path) for path in sorted(site.rglob("*.html")) if "_static" not in path.parts}


def loaded_from_elsewhere(site, pages):
    """Scripts, styles and pictures that come from another host: without a network they are missing."""
    for path, page in pages.items():
        for address in sorted(page.loads):
            if urlsplit(address).netloc:
                yield f"{path.relative_to(site)}: loads {address}"


def guide_pages_without_picture(site, pages):
    """Pages of the user guide that show nothing."""
    for path, page in pages.items():
        if path.parent == site / "guide" and not any("_images/" in address for address in page.loads):
            yield f"{path.relative_to(site)}: has no picture"


def dead_links(site, pages):
    """Links within the site whose file or anchor is missing."""
    for path, page in pages.items():
        for link in sorted(page.links):
            url = urlsplit(link)
            if url.scheme or url.netloc:
                continue
            target = (path.parent / unquote(url.path)).resolve() if url.path else path
            if not target.exists():
                yield f"{path.relative_to(site)}: no file for {link}"
            elif url.fragment and target in pages and unquote(url.fragment) not in pages[target].anchors:
                yield f"{path.relative_to(site)}: no anchor for {link}"


def examples_without_picture(site):
    """Examples of the gallery that made none."""
    for script in sorted(EXAMPLES.glob("plot_*.py")):
        if not list((site / "_images").glob(f"sphx_glr_{script.stem}_0*.png")):
            yield f"{script.name} makes no picture"


def main(site):
    """Print what is wrong; the exit status says whether anything is."""
    pages = pages_of(site)
    checks = (dead_links, loaded_from_elsewhere, guide_pages_without_picture)
    wrong = [message for check in checks for message in check(site, pages)] + list(examples_without_picture(site))
    print("\n".join(wrong) or f"{len(list(site.rglob('*.html')))} pages, no dead link")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
