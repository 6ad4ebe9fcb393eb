"""DuckDB engine: the recipe on one machine, within a limit of memory; what does not fit goes to its folder."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import duckdb

from data_prep.cms import recipe
from data_prep.cms.files import Feed, FilesError, Hashed, Source
from data_prep.cms.layouts import YEARLY
from data_prep.cms.recipe import COUNTED

NAME = "duckdb"


class DuckDB:
    """The engine of a laptop.

    Parameters
    ----------
    folder : Path
        For pipes, and for what does not fit into memory.
    memory : str
        Its limit.
    threads : int
        0: as many as there are processors.
    """

    name = NAME

    def __init__(self, folder: Path, *, memory: str = "450MB", threads: int = 0) -> None:
        self.folder = folder
        self.connection = duckdb.connect()
        run = self.connection.execute
        run(f"set memory_limit = '{memory}'")
        run(f"set temp_directory = '{_quoted(folder / 'spilled')}'")
        run("set preserve_insertion_order = false")  # results are ordered where it matters, and reading stays parallel
        run("set enable_progress_bar = false")
        if threads:
            run(f"set threads = {threads}")

    def per_provider(self, source: Source, sql: str, out: Path, tell: Callable[[int, int], None]) -> str:
        """Run the first step on a file; write Parquet; return the file's SHA-256.

        Raises
        ------
        FilesError
            If the file is damaged, or a cell is not what it should be; names the line.
        """
        with contextlib.ExitStack() as stack:
            if source.member:  # out of an archive, through a pipe
                feed = stack.enter_context(Feed(source, self.folder / f"{source.kind}-{source.year}.pipe", tell))
                path, checked = feed.pipe, feed.checked
            else:
                path, checked = source.path, stack.enter_context(Hashed(source, tell)).checked
            try:
                self._view("lines", f"select {recipe.read(source)} from {_reader(source, path)}")
                self._copy(sql, out)
            except duckdb.Error as error:
                raise FilesError(f"{source.name}: {_first(error)}") from error
        return checked()

    def table(self, parts: Mapping[str, Sequence[tuple[int, Path]]], sql: str, out: Path) -> None:
        """Run the second step on what the first one has written, by kind and year; write Parquet, ordered by NPI.

        Raises
        ------
        FilesError
            If the folder is full.
        """
        for kind, files in parts.items():
            name = f"{kind}_years" if kind in YEARLY else "exclusions"
            self._view(name, recipe.union((f"from read_parquet('{_quoted(path)}')", year) for year, path in files))
        try:
            self._copy(f"{sql}\norder by npi", out)
        except duckdb.Error as error:
            raise FilesError(f"the table cannot be built: {_first(error)}") from error
        self._view("made", f"from read_parquet('{_quoted(out)}')")

    def csv(self, columns: Sequence[str], out: Path) -> None:
        """Write columns of the table as CSV, in its order, those that are no counts with ten digits.

        Raises
        ------
        FilesError
            If the folder is full.
        """
        text = ", ".join(name if name in COUNTED else f"format('{{:.10g}}', {name})" for name in columns)
        try:
            # The table lies there in its order, which stays; a line as one text is written by all threads.
            self.connection.execute("set preserve_insertion_order = true")
            lines = f"select concat_ws(',', {text}) as \"{','.join(columns)}\" from made"
            how = "format csv, header, quote '', escape '', delim '\t'"
            self.connection.execute(f"copy ({lines}) to '{_quoted(out)}' ({how})")
        except duckdb.Error as error:
            raise FilesError(f"the table cannot be written: {_first(error)}") from error

    def number(self, sql: str) -> int:
        """Return a single whole number."""
        return int(self.connection.execute(sql).fetchall()[0][0])

    def _view(self, name: str, sql: str) -> None:
        self.connection.execute(f"create or replace temp view {name} as {sql}")

    def _copy(self, sql: str, out: Path) -> None:
        self.connection.execute(f"copy ({sql}) to '{_quoted(out)}' (format parquet)")

    def close(self) -> None:
        """End it."""
        self.connection.close()


def _reader(source: Source, pipe: Path) -> str:
    """Read every column as text: nothing is guessed, neither types nor quotes nor the header."""
    columns = ", ".join(f"'{_quoted(name)}': 'varchar'" for name in source.header)
    delimiter = "\\t" if source.layout.delimiter == "\t" else ","
    quotes = "quote = '', escape = ''" if source.layout.delimiter == "\t" else "quote = '\"', escape = '\"'"
    return (
        f"read_csv('{_quoted(pipe)}', auto_detect = false, header = true, delim = '{delimiter}', {quotes}, "
        f"null_padding = false, strict_mode = true, columns = {{{columns}}})"
    )


def _first(error: Exception) -> str:
    """Return the first line of what DuckDB says; a provider's whole row would stand in the next."""
    return str(error).strip().splitlines()[0]


def _quoted(text: object) -> str:
    return str(text).replace("'", "''")
