"""What MkDocs does to the pages of `docs/` on their way into the site.

The pages are written to be read in the repository too: fences carry marks for the test that runs them, and links may
lead to files outside `docs/`. Here marks become a line for readers, and such links become the file's name.
"""

import re
from pathlib import Path
from typing import Any

import click
from mkdocs.structure.files import File, Files

REPOSITORY = Path(__file__).resolve().parents[1]
COMMANDS = "commands.md"
WIDTH = 92
FENCE = re.compile(r"^```(\w+)((?: [\w./-]+)+)$", re.MULTILINE)
LINK = re.compile(r"\[([^\]]*)\]\(([^)#:\s]+)(#[^)\s]*)?\)")
TOLD = {"gpu": "Needs a GPU and published weights", "docker": "Needs Docker", "root": "As root, on a server"}


def on_files(files: Files, config: Any) -> Files:
    """Add the page that is made of the commands' own help."""
    files.append(File.generated(config, COMMANDS, content=commands_page()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Prepare one page."""
    folder = (REPOSITORY / "docs" / page.file.src_uri).parent
    return LINK.sub(lambda link: outside_link(link, folder), FENCE.sub(plain_fence, markdown))


def plain_fence(fence: re.Match[str]) -> str:
    """A fence without its marks, which only the tests read, but with what they mean for readers."""
    told = [TOLD[mark] for mark in fence[2].split() if mark in TOLD]
    return f'```{fence[1]} title="{told[0]}"' if told else f"```{fence[1]}"


def outside_link(link: re.Match[str], folder: Path) -> str:
    """A link as it is, or the name of the file where it leads out of `docs/`."""
    target = (folder / link[2]).resolve()
    if target.is_relative_to(REPOSITORY / "docs") or not target.exists():
        return link[0]
    name = target.relative_to(REPOSITORY).as_posix()
    return f"`{name}`" if Path(link[1]).name == target.name else f"{link[1]} (`{name}`)"


def commands_page() -> str:
    """The help of every command, one after another."""
    from sama_video.app.cli.main import sama

    parts = ["# Commands\n\nWhat `--help` says of each.\n"]
    for words, one in _commands(["sama"], sama):
        settings = {"terminal_width": WIDTH, "max_content_width": WIDTH, **sama.context_settings}
        context = click.Context(one, info_name=" ".join(words), **settings)
        parts.append(f"{'#' * min(len(words) + 1, 3)} {' '.join(words)}\n\n```text\n{one.get_help(context)}\n```\n")
    return "\n".join(parts)


def _commands(words: list[str], command: click.Command) -> list[tuple[list[str], click.Command]]:
    found = [(words, command)]
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=words[-1])
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None and not inner.hidden:
                found += _commands([*words, name], inner)
    return found
