"""`sama data prepare`: what to fetch for a data set, what of it is there, and indexes of its masks."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sama_video.app.cli.output import Output, output_option
from sama_video.errors import ConfigError, DataError

if TYPE_CHECKING:
    from sama_video.data.findings import Findings
    from sama_video.data.preparing import DataSet, Fetch, Found, IndexedMasks

MISSING_SHOWN = 30
"""Missing things of each part that people are shown; all of them are in the JSON."""


@click.command
@click.argument("name", required=False)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="DIR",
    envvar="SAMA_DATA",
    default="data",
    show_default=True,
    help="Folder that holds, or is to hold, all data sets.",
)
@click.option("--part", "parts", multiple=True, metavar="PART", help="Look at this part only; may be repeated.")
@click.option("--list", "listing", is_flag=True, help="Name the data sets and their parts.")
@output_option
def command(name: str | None, data: Path, parts: tuple[str, ...], listing: bool, output: Output) -> None:
    """Tell what to fetch for NAME, from whom, under which terms and where to put it; then see what is there.

    Nothing is downloaded: the terms of a data set are between you and its makers. What is there is counted, without
    opening frames, and its mask dictionaries are indexed, so that later commands open them at once. Exit code 2 while
    something is missing.
    """
    from sama_video.data.findings import Findings
    from sama_video.data.preparing import count_part, data_set, data_sets, find_parts, index_masks, lacking, mask_bytes

    if listing:
        _show_list(data_sets(), output)
        return
    if name is None:
        raise ConfigError("sama data prepare was given no NAME; sama data prepare --list names the data sets.")
    chosen = data_set(name)
    found = find_parts(chosen.only(parts), data)
    _show_fetch(chosen, data, output)
    findings = Findings(base=data)
    with output.progress("Indexing masks", mask_bytes(found)) as advance:
        masks = index_masks(found, findings, advance)
    with output.progress("Counting") as advance:
        counts = [count_part(one, data, findings, advance) for one in found]
    for one, counted in zip(found, counts, strict=True):
        _show_found(one, counted, output)
    _show_masks(masks, data, output)
    complete = not any(one.missing for one in found) and not lacking(findings)
    _show_faults(findings, data, output)
    output.document(
        {
            "name": chosen.name,
            "title": chosen.title,
            "data": str(data),
            "complete": complete,
            "fetch": [one.to_json() for one in chosen.fetch],
            "parts": [one.to_json() | {"counts": counted} for one, counted in zip(found, counts, strict=True)],
            "masks": [one.to_json() for one in masks],
            "faults": dict(sorted(findings.faults.items())),
            "notes": dict(sorted(findings.notes.items())),
        }
    )
    if not complete:
        raise DataError(_incomplete(chosen, found, lacking(findings), data))
    output.line(f"{chosen.title} is complete")


def _incomplete(chosen: "DataSet", found: "tuple[Found, ...]", lacks: dict[str, int], data: Path) -> str:
    missing = [one.root / need for one in found for need in one.missing]
    told = []
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        told.append(f"missing is {missing[0]}{more}")
    if lacks:
        told.append(", ".join(f"{reason} {count}" for reason, count in lacks.items()))
    whole = [one.part.name for one in found if not one.missing]
    alone = f" (--part {whole[0]} looks at that part alone)" if missing and whole else ""
    return (
        f"{chosen.title} is not complete in {data}: {'; '.join(told)}; fetch it as listed, then run "
        f"sama data prepare {chosen.name} again{alone}."
    )


def _show_list(sets: "dict[str, DataSet]", output: Output) -> None:
    width = max(map(len, sets))
    for name, one in sets.items():
        parts = ", ".join(part.name for part in one.parts)
        output.line(f"{name:<{width}}  {one.title}: {one.about} (parts: {parts})")
    output.document(
        [
            {"name": name, "title": one.title, "about": one.about, "parts": [part.name for part in one.parts]}
            for name, one in sets.items()
        ]
    )


def _show_fetch(chosen: "DataSet", data: Path, output: Output) -> None:
    output.line(f"{chosen.title}: {chosen.about}")
    output.line("fetch (nothing is downloaded for you)")
    for number, one in enumerate(chosen.fetch, start=1):
        _show_one(number, one, output)
    output.line(f"there, in {data}")


def _show_one(number: int, one: "Fetch", output: Output) -> None:
    url = "" if one.url is None else f", {one.url}"
    output.line(f"  {number}. {one.what}")
    output.line(f"     from:    {one.publisher}{url}")
    output.line(f"     licence: {one.terms.licence} ({one.terms.stated})")
    output.line(f"     into:    {one.into}")


def _show_found(one: "Found", counts: dict[str, int], output: Output) -> None:
    total = len(one.found) + len(one.missing)
    counted = "".join(f", {count} {what}" for what, count in counts.items())
    output.line(f"  {one.part.name}, in {one.root}: {len(one.found)} of {total} found{counted}")
    for need in one.missing[:MISSING_SHOWN]:
        output.line(f"    missing: {need}")
    if len(one.missing) > MISSING_SHOWN:
        output.line(f"    and {len(one.missing) - MISSING_SHOWN} more; --json lists them")


def _show_masks(masks: "tuple[IndexedMasks, ...]", data: Path, output: Output) -> None:
    for one in masks:
        if one.annotations is None:
            continue
        how = "small enough to be read anew each time" if one.index is None else f"index {one.index}"
        output.line(f"  masks {one.path.relative_to(data).as_posix()}: {one.annotations} annotations, {how}")


def _show_faults(findings: "Findings", data: Path, output: Output) -> None:
    for reason, count in sorted(findings.faults.items()):
        output.line(f"  fault: {reason} {count}")
    if findings.faults:
        first = next(row for row in findings.rows if row.is_fault)
        place = first.file if first.record is None else f"{first.file}, {first.record}"
        output.line(f"    such as {place}: {first.detail}; sama data check {data} reads everything and lists all")
