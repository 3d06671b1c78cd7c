"""`sama demo`: the bundled clip and model, three grounded turns."""

from pathlib import Path

import click

from sama_video.app.cli.options import Ask, ModelOptions, make_folder, out_option
from sama_video.app.cli.output import Output, output_option


@click.command
@out_option
@output_option
def command(out: Path | None, output: Output) -> None:
    """Talk about the bundled clip with the bundled model: three grounded turns, written to --out (sama-demo)."""
    folder = make_folder(out if out is not None else Path("sama-demo"))
    from sama_video.app.cli.talk import open_session, print_turn, save
    from sama_video.app.demo import load_demo
    from sama_video.chat.storage import session_json, write_json
    from sama_video.regions.shapes import Points

    demo = load_demo()
    session = open_session("demo", ModelOptions(), output)
    for turn in demo.turns:
        print_turn(session, Ask(turn.question, turn.regions), output)
    save(session, folder, output)
    clicks = tuple(
        (prompt.object_id, prompt.region)
        for turn in session.dialogue
        for prompt in turn.regions
        if isinstance(prompt.region, Points)
    )
    (folder / "truth").mkdir(exist_ok=True)
    for name in session.book.object_ids:
        masklet = demo.true_masklet(name, session.book[name].name, clicks)
        if masklet is not None:
            write_json(folder / "truth" / f"{name}.json", masklet.to_json())
    output.line(f"look at {folder / 'overlay.png'} and {folder / 'overlay.mp4'}")
    output.document(session_json(session) if output.as_json else None)
