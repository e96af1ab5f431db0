"""Sphinx extension: the directive `gallery`, a picture that an example of the gallery has drawn, as a link to it.

    ```{gallery} plot_imputation
    :number: 2
    What the picture shows.
    ```

Without its pictures (``-D plot_gallery=0``) it shows the example's thumbnail, which then is a placeholder.
"""

from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive, directives

__all__ = ["setup"]

IMAGES = Path("auto_examples") / "images"


class GalleryPicture(Directive):
    """A figure with a caption."""

    required_arguments = 1
    has_content = True
    option_spec = {"number": directives.positive_int}

    def run(self):
        """One picture, its caption, and where it comes from."""
        env, name = self.state.document.settings.env, self.arguments[0]
        script = Path(env.srcdir) / "examples" / f"{name}.py"
        if not script.is_file():
            raise self.error(f"There is no example {name}.")
        picture = IMAGES / f"sphx_glr_{name}_{self.options.get('number', 1):03}.png"
        if not (Path(env.srcdir) / picture).is_file():
            picture = IMAGES / "thumb" / f"sphx_glr_{name}_thumb.png"
        caption = " ".join(self.content)
        image = nodes.image(uri=f"/{picture.as_posix()}", alt=caption.replace("`", ""))
        address = env.app.builder.get_relative_uri(env.docname, f"auto_examples/{name}")
        words, messages = self.state.inline_text(caption, self.lineno)
        link = nodes.reference("", "", image, refuri=address)
        return [nodes.figure("", link, nodes.caption("", "", *words)), *messages]


def setup(app):
    """Register with Sphinx."""
    app.add_directive("gallery", GalleryPicture)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
