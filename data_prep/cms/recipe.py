"""Recipe of the provider table: one text of SQL that DuckDB and Spark run alike, made from named choices.

Two steps. Each published file becomes one line per provider: how many lines it has there, and of every quantity count,
sum and sum of squares. Then the years are added up, the files joined, and the providers labelled from the list of
exclusions. Only what both engines answer alike is used, and no cell is given a type but by a cast that stands here.

Sums are exact: numbers are decimals, not floats, so that nothing depends on the order in which lines are added, neither
on the engine nor on the number of its threads. Only the last division and the root are floating point.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

from data_prep.cms.files import Source
from data_prep.cms.layouts import BILLED
from data_prep.errors import DataError

CODES = Path(__file__).with_name("exclusions.toml")
PATIENTS = ("bene_unique_cnt", "bene_count", "tot_suplr_benes")  # counts that CMS hides where they are 1 to 10
QUANTITIES: Mapping[str, tuple[str, ...]] = {
    "dmepos": (
        "tot_suplrs", "tot_suplr_benes", "tot_suplr_clms", "tot_suplr_srvcs", "avg_suplr_sbmtd_chrg",
        "avg_suplr_mdcr_pymt_amt",
    ),
    "part_b": (
        "bene_unique_cnt", "line_svc_cnt", "bene_day_srvc_cnt", "average_submitted_chrg_amt",
        "average_medicare_payment_amt",
    ),
    "part_d": ("total_claim_count", "total_30_day_fill_count", "total_day_supply", "total_drug_cost", "bene_count"),
}  # fmt: skip
WORDS = ("gender", "entity", "state", "specialty")  # what a file says of the provider itself
COUNTED = ("fraudulent_provider", "female")  # whole numbers of the table
FILLS, JOINS, PROVIDERS, TREATED = (
    ("5", "0", "left out"),
    ("inner", "outer"),
    ("all", "people"),
    ("positive", "left out"),
)


class RecipeError(DataError):
    """A choice that the recipe does not know."""


@cache
def codes() -> Mapping[str, Mapping[str, Any]]:
    """Return the codes of exclusions, what they mean, and which count as fraud unless another choice is made."""
    return tomllib.loads(CODES.read_text())


@dataclass(frozen=True)
class Choices:
    """What has to be decided, since the files do not; each changes the table, and some the model.

    Parameters
    ----------
    years : tuple of int
        Years of the claims; none: all that there are files of. A provider is one row, whatever the number of years.
    fill : {"5", "0", "left out"}
        What stands for a count of 1 to 10 patients, which CMS hides: 5, 0, or the line does not count for it.
    join : {"inner", "outer"}
        Only providers who stand in all three files; or everybody who stands in one, with zeros for the others.
    providers : {"all", "people"}
        Whether organisations (entity code O) have rows, too.
    codes : tuple of str
        Exclusions that make a provider positive.
    within : int
        Years after the last year of the claims in which an exclusion counts; 0: for ever.
    reinstated, waived : {"positive", "left out"}
        A provider who was let in again, or whose exclusion some state has waived.
    other_codes : {"negative", "left out"}
        A provider excluded for something else.
    """

    years: tuple[int, ...] = ()
    fill: str = "5"
    join: str = "inner"
    providers: str = "all"
    codes: tuple[str, ...] = field(default_factory=lambda: tuple(c for c, told in codes().items() if told.get("fraud")))
    within: int = 0
    reinstated: str = "positive"
    waived: str = "positive"
    other_codes: str = "negative"

    def __post_init__(self) -> None:
        for name, known in (
            ("fill", FILLS), ("join", JOINS), ("providers", PROVIDERS), ("reinstated", TREATED), ("waived", TREATED),
            ("other_codes", ("negative", "left out")),
        ):  # fmt: skip
            if getattr(self, name) not in known:
                raise RecipeError(f"{name} is {getattr(self, name)!r}: choose {' or '.join(known)}")
        if unknown := sorted(set(self.codes) - codes().keys()):
            raise RecipeError(f"codes: {', '.join(unknown)} unknown; there are {', '.join(codes())}")
        if not self.codes:
            raise RecipeError("codes: none is chosen, so that nobody would be positive")
        if self.within < 0 or not all(2000 <= year <= 2100 for year in self.years):
            raise RecipeError("years are four digits, and within is 0 or more")

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Choices:
        """Return the choices that :meth:`told` has told, or a part of them.

        Raises
        ------
        RecipeError
            If there is no such choice.

        >>> Choices.of({"fill": "0", "years": [2019]}).years
        (2019,)
        """
        if unknown := sorted(told.keys() - {each.name for each in fields(cls)}):
            raise RecipeError(
                f"{', '.join(unknown)}: no such choice; there are {', '.join(f.name for f in fields(cls))}"
            )
        given: Any = {key: tuple(value) if isinstance(value, list) else value for key, value in told.items()}
        return cls(**given)

    def told(self) -> dict[str, Any]:
        """Return the choices as JSON values."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


def _number(column: str, scale: int) -> str:
    """Cast a text to a decimal, or stop: neither 3008F nor nan is one, nor a blank. A thousand's comma goes."""
    kind = f"decimal(18, {scale})"
    return f"coalesce(try_cast({column} as {kind}), cast(replace(coalesce({column}, 'blank'), ',', '') as {kind}))"


def _scale(name: str) -> int:
    """Decimal places that are kept: eight of dollars a service, which are averages, four of all else."""
    return 8 if name.startswith(("avg_", "average_")) else 4


def _patients(column: str, hidden: str) -> str:
    """Cast a count of patients, which CMS hides where it is small: blank, ``*`` or ``#``."""
    return f"case when trim(coalesce({column}, '')) in ('', '*', '#') then {hidden} else {_number(column, 4)} end"


def _value(column: str, fill: str) -> str:
    if column not in PATIENTS:
        return _number(column, _scale(column))
    return _patients(column, f"cast({'null' if fill == 'left out' else fill} as decimal(18, 4))")


def per_provider(kind: str, choices: Choices, *, copyright_npi: str = "") -> str:
    """Return the first step's SQL: from the lines of one file, in the view ``lines``, to one line per provider.

    Every column of the view is text. Of a quantity three numbers are kept: ``_n`` lines that count, their sum ``_s``,
    and the sum of their squares ``_q``.
    """
    if kind == "part_b_provider":
        unknown = "cast(null as decimal(18, 4))"
        share = [f"{_patients(name, unknown)} as {name}" for name in ("dual", "not_dual")]
        return _text("select trim(npi) as npi,", share, "from lines")
    values = [f"{_value(name, choices.fill)} as {name}" for name in QUANTITIES[kind]]
    kept = [f"trim(max({name})) as {name}" for name in WORDS]
    for name in QUANTITIES[kind]:
        wide = f"cast({name} as decimal(19, {_scale(name)}))"  # a product of two narrow ones would not fit in DuckDB
        kept += [f"count({name}) as {name}_n", f"sum({name}) as {name}_s", f"sum({wide} * {name}) as {name}_q"]
    if kind == "part_b":
        kept.append("sum(cast(line_svc_cnt as decimal(19, 4)) * average_medicare_payment_amt) as paid")
    inner = _text("select trim(npi) as npi,", [*WORDS, *values], "from lines")
    where = f"where npi is not null and npi not in ('', '0000000000'{_also(copyright_npi)})"
    head = "select npi, count(*) as lines,"
    return _text(head, kept, f"from (\n{_indented(inner)}\n) as cast_lines\n{where}\ngroup by npi")


def _also(npi: str) -> str:
    return f", '{npi}'" if re.fullmatch(r"\d{10}", npi) else ""


def exclusions() -> str:
    """Return the SQL that makes one line per exclusion from the list, in the view ``lines``; an unknown NPI is missing.

    Dates stay text, YYYYMMDD: they compare as they are, and 00000000 is none.
    """
    return _text(
        "select",
        [
            "case when trim(coalesce(npi, '')) in ('', '0', '0000000000') then null else trim(npi) end as npi",
            "lower(trim(code)) as code",
            "trim(excluded) as excluded",
            "case when trim(coalesce(reinstated, '')) in ('', '00000000') then 0 else 1 end as reinstated",
            "case when trim(coalesce(waived, '')) in ('', '00000000') then 0 else 1 end as waived",
        ],
        "from lines",
    )


def table(choices: Choices, years: Sequence[int], *, dual: bool = False) -> str:
    """Return the second step's SQL: from one line per provider, file and year to the table.

    It reads the views ``part_b_years``, ``part_d_years``, ``dmepos_years`` (what the first step made, with a column
    ``year``), ``exclusions``, and ``part_b_provider_years`` if ``dual``.
    """
    together = _together if len(years) > 1 else _alone
    parts = [f"{kind} as (\n{_indented(together(kind))}\n)" for kind in BILLED]
    parts.append(f"excluded as (\n{_indented(_label(choices, max(years)))}\n)")
    if dual:
        share = f"{_float('sum(dual)')} / nullif({_float('sum(dual) + sum(not_dual)')}, 0) as dual_share"
        duals = _text("select npi,", [share], "from part_b_provider_years\ngroup by npi")
        parts.append(f"duals as (\n{_indented(duals)}\n)")
    columns = ["coalesce(excluded.positive, 0) as fraudulent_provider"]
    columns.append("case when coalesce(part_b.gender, dmepos.gender, '') = 'F' then 1 else 0 end as female")
    for kind in ("dmepos", "part_b", "part_d"):
        for name in QUANTITIES[kind]:
            of = f"{kind}.{name}"
            columns += [
                f"coalesce(sqrt({_spread(of, _scale(name))}), 0.0e0) as {name}_standard_deviation",
                f"coalesce({_float(f'{of}_s')} / nullif({of}_n, 0), 0.0e0) as {name}_mean",
                f"coalesce({_float(f'{of}_s')}, 0.0e0) as {name}_sum",
            ]
    columns += _wider(dual=dual)
    joined, npi = _joined(choices.join)
    for name in ("excluded", *(["duals"] if dual else [])):
        joined += f"\nleft join {name} on {name}.npi = {npi}"
    where = ["coalesce(excluded.left_out, 0) = 0"]
    if choices.providers == "people":
        where.append("coalesce(part_b.entity, dmepos.entity, 'I') <> 'O'")
    body = _text(f"select {npi} as npi,", columns, f"from {joined}\nwhere " + "\n  and ".join(where))
    return "with " + ",\n".join(parts) + "\n" + body


def counts(choices: Choices) -> dict[str, str]:
    """Return the SQL that counts rows, and what the labels lost, from the views ``made`` and ``exclusions``."""
    codes_ = ", ".join(f"'{code}'" for code in choices.codes)
    of_these = f"from exclusions where code in ({codes_})"
    return {
        "rows": "select count(*) from made",
        "positive": "select coalesce(sum(fraudulent_provider), 0) from made",
        "exclusions": "select count(*) from exclusions",
        "exclusions_of_these_codes": f"select count(*) {of_these}",
        "of_them_without_npi": f"select count(*) {of_these} and npi is null",
        "of_them_in_table": f"select count(distinct npi) {of_these} and npi in (select npi from made)",
    }


def union(parts: Iterable[tuple[str, int]]) -> str:
    """Put what several years have together, with the year."""
    return " union all ".join(f"select *, {year} as year {rest}" for rest, year in parts)


def read(source: Source) -> str:
    """Return the columns that the recipe reads of a file, under its names; null where the release has none."""
    there = {name.lower(): name for name in source.header}
    named = {ours: there.get(theirs.lower()) for ours, theirs in source.layout.reads.items()}
    wanted = (*source.layout.reads, *(word for word in WORDS if source.kind in QUANTITIES and word not in named))
    return ", ".join(f"{named.get(name) or 'cast(null as string)'} as {name}" for name in wanted)


def _joined(how: str) -> tuple[str, str]:
    """Return the three files joined by NPI, and the expression that is a row's; no file is read twice for it."""
    if how == "inner":
        on = "".join(f"\njoin {kind} on {kind}.npi = part_b.npi" for kind in ("part_d", "dmepos"))
        return f"part_b{on}", "part_b.npi"
    first = "part_b\nfull outer join part_d on part_d.npi = part_b.npi"
    second = f"{first}\nfull outer join dmepos on dmepos.npi = coalesce(part_b.npi, part_d.npi)"
    return second, "coalesce(part_b.npi, part_d.npi, dmepos.npi)"


def _spread(of: str, scale: int) -> str:
    """Variance of a sample: n*q - s*s without a rounding, over n*(n-1); missing where there is a single line."""
    square = f"cast({of}_s as decimal(19, {scale})) * cast({of}_s as decimal(17, {scale}))"
    lines = f"cast({of}_n as decimal(5, 0)) * cast({of}_q as decimal(31, {2 * scale}))"
    return f"{_float(f'({lines} - {square})')} / nullif({_float(f'{of}_n')} * ({of}_n - 1), 0)"


def _float(text: str) -> str:
    return f"cast({text} as double)"


def _together(kind: str) -> str:
    """Add the years of a file up; what it says of the provider itself is that of the last year."""
    inner = _text("select *,", ["max(year) over (partition by npi) as last_year"], f"from {kind}_years")
    kept = [f"max(case when year = last_year then {name} end) as {name}" for name in WORDS]
    for name in QUANTITIES[kind]:
        kept += [f"sum({name}_{part}) as {name}_{part}" for part in "nsq"]
    if kind == "part_b":
        for which, when in (("paid_last", "last_year"), ("paid_before", "last_year - 1")):
            kept.append(f"max(case when year = {when} then {_float('paid')} end) as {which}")
    return _text("select npi,", kept, f"from (\n{_indented(inner)}\n) as with_last\ngroup by npi")


def _alone(kind: str) -> str:
    """Take a single year as it is."""
    more = [f"{_float('paid')} as paid_last", f"{_float('null')} as paid_before"] if kind == "part_b" else []
    return _text("select *,", [*more, "1 as years"], f"from {kind}_years")


def _label(choices: Choices, last: int) -> str:
    """Say who was excluded when: positive only after the claims, and nobody stays who was excluded before their end."""
    counts = ", ".join(f"'{code}'" for code in choices.codes)
    until = f" and excluded <= '{last + choices.within}1231'" if choices.within else ""
    later = f"excluded > '{last}1231'{until}"
    out = [f"excluded <= '{last}1231'"]  # its claims end there: a label from the past, and features of a part of a year
    for name in ("reinstated", "waived"):
        if getattr(choices, name) == "left out":
            out.append(f"{name} = 1")
    if choices.other_codes == "left out":
        out.append(f"code not in ({counts})")
    return _text(
        "select npi,",
        [
            f"max(case when code in ({counts}) and {later} then 1 else 0 end) as positive",
            f"max(case when {' or '.join(out)} then 1 else 0 end) as left_out",
        ],
        "from exclusions\nwhere npi is not null\ngroup by npi",
    )


def _wider(*, dual: bool) -> list[str]:
    ratios = {
        "paid_of_charged": ("part_b.average_medicare_payment_amt_s", "part_b.average_submitted_chrg_amt_s"),
        "services_per_patient": ("part_b.line_svc_cnt_s", "part_b.bene_unique_cnt_s"),
        "services_per_day": ("part_b.line_svc_cnt_s", "part_b.bene_day_srvc_cnt_s"),
        "drug_cost_per_claim": ("part_d.total_drug_cost_s", "part_d.total_claim_count_s"),
        "days_per_claim": ("part_d.total_day_supply_s", "part_d.total_claim_count_s"),
        "equipment_per_patient": ("dmepos.tot_suplr_srvcs_s", "dmepos.tot_suplr_benes_s"),
    }
    return [
        "coalesce(part_b.state, part_d.state, dmepos.state) as state",
        "coalesce(part_b.specialty, part_d.specialty, dmepos.specialty) as specialty",
        "coalesce(part_b.entity, dmepos.entity) as entity",
        *(f"{_float(over)} / nullif({_float(under)}, 0) as {name}" for name, (over, under) in ratios.items()),
        "ln((part_b.paid_last + 1) / (part_b.paid_before + 1)) as change_of_paid",
        "duals.dual_share as dual_share" if dual else "cast(null as double) as dual_share",
    ]


# What the wider set means, beside the columns of the problem file.
WIDER = {
    "state": "state in which the provider works, in the last year",
    "specialty": "what the provider is paid as, in the last year",
    "entity": "I: a person; O: an organisation",
    "paid_of_charged": "what Medicare paid, of what was charged (sums of the lines' means)",
    "services_per_patient": "services per patient, over all lines",
    "services_per_day": "services per patient and day: more than one is several on the same day",
    "drug_cost_per_claim": "dollars a claim for drugs, refills included",
    "days_per_claim": "days of supply a claim for drugs",
    "equipment_per_patient": "pieces of equipment per patient who got any",
    "change_of_paid": "logarithm of what was paid in the last year, over the year before; missing without one",
    "dual_share": "share of patients who have Medicaid too; missing where hidden, or without the file by provider",
}


def _text(head: str, columns: Sequence[str], tail: str) -> str:
    return head + "\n  " + ",\n  ".join(columns) + "\n" + tail


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
