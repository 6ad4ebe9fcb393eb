"""Generated files in the layout of CMS and the OIG: any number of rows, of nobody, the same for the same seed.

Providers come in blocks with a random stream of their own, so that every file can be written by itself and memory does
not grow. An NPI has a check digit (Luhn over 80840 and the number); these fail it, so that none is anybody's. Every
name says SYNTHETIC.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from data_prep.cms import files, layouts
from data_prep.cms.recipe import codes

BLOCK = 2000  # providers at a time
LINES = {"part_b": 11.0, "part_d": 9.0, "dmepos": 4.0}  # of a provider and year, on average
STREAMS = {"dmepos": 0, "part_b": 1, "part_b_provider": 2, "part_d": 3}  # of random numbers
STATES = ("CA", "FL", "TX", "NY", "PA", "OH", "IL", "NC", "GA", "MI", "NJ", "TN", "VA", "AZ", "MA", "WA")
SPECIALTIES = (
    "Internal Medicine", "Family Practice", "Nurse Practitioner", "Cardiology", "Pain Management", "Neurology",
    "Physician Assistant", "Orthopedic Surgery", "Physical Medicine and Rehabilitation", "Podiatry",
)  # fmt: skip
NAMES = {
    "part_b": "MUP_PHY_R{release:02d}_P05_V10_D{year:02d}_Prov_Svc.csv",
    "part_b_provider": "MUP_PHY_R{release:02d}_P05_V10_D{year:02d}_Prov.csv",
    "part_d": "MUP_DPR_RY{release:02d}_P04_V10_DY{year:02d}_NPIBN.csv",
    "dmepos": "mup_dme_ry{release:02d}_p05_v10_dy{year:02d}_rfrr_hcpcs.csv",
}
OLD_NAMES = {
    "part_b": "Medicare_Provider_Util_Payment_PUF_CY20{year:02d}.txt",
    "part_d": "PartD_Prescriber_PUF_NPI_Drug_{year:02d}.txt",
}
COPYRIGHT = "CPT copyright American Medical Association. All Rights Reserved. (SYNTHETIC)"


@dataclass(frozen=True)
class Made:
    """What to generate.

    Parameters
    ----------
    providers : int
        Each has about eleven lines in Part B, nine in Part D and four in DMEPOS a year.
    years : tuple of int
        Of the claims; 2012 and 2013 in the layout of that time.
    rate : float
        Share of providers excluded for fraud, from the second year on until three years after the last; they bill no
        more then. Among all who bill Medicare it is 0.0003 to 0.0006.
    seed : int
        Of everything.
    """

    providers: int
    years: tuple[int, ...] = (2019,)
    rate: float = 0.0006
    seed: int = 0


def generate(
    made: Made, folder: Path, tell: Callable[[str, int, int], None] = lambda what, done, of: None
) -> list[Path]:
    """Write Part B, Part D and DMEPOS of every year, Part B by provider, and the list of exclusions; return the files.

    A file is in its place only when it is whole.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / files.STAMP).write_text(
        "These files are generated: no provider, no patient and no exclusion is anybody's.\n"
    )
    written = []
    for year in made.years:
        for kind in layouts.YEARLY:
            layout = _layout(kind, year)
            name = (OLD_NAMES if year < 2014 and kind in OLD_NAMES else NAMES)[kind]
            path = folder / name.format(release=26 if year > 2023 else 25, year=year % 100)
            written.append(_write(path, layout, _blocks(made, kind, year, layout), made, tell))
    path = folder / "UPDATED.csv"
    written.append(_write(path, layouts.kinds()["leie"].layouts[0], _excluded(made), made, tell))
    return written


def _layout(kind: str, year: int) -> layouts.Layout:
    by_name = {layout.name: layout for layout in layouts.kinds()[kind].layouts}
    if year < 2014 and kind in OLD_NAMES:
        return by_name.get("long names, 2012 and 2013") or by_name["long names"]
    return layouts.kinds()[kind].layouts[0]


def _write(
    path: Path, layout: layouts.Layout, blocks: Iterator[pd.DataFrame], made: Made,
    tell: Callable[[str, int, int], None],
) -> Path:  # fmt: skip
    """Write a file block by block: the OIG quotes every field and ends lines as Windows does, CMS where it must."""
    columns = [name for name in layout.columns if name not in _lacking(layout, path)]
    part = path.with_name(path.name + ".part")
    leie, tabs = layout.kind == "leie", layout.delimiter == "\t"
    style = {"sep": layout.delimiter, "header": False, "index": False, "lineterminator": "\r\n" if leie else "\n"}
    style |= {"quoting": csv.QUOTE_ALL if leie else csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL}
    with part.open("w", newline="", encoding="utf-8") as out:
        out.write(layout.delimiter.join(columns) + style["lineterminator"])
        if layout.copyright:
            row = dict.fromkeys(columns, "") | {columns[0]: layout.copyright, columns[1]: COPYRIGHT}
            out.write("\t".join(row.values()) + "\n")
        for number, block in enumerate(blocks, start=1):
            text = io.StringIO()
            block.reindex(columns=columns, fill_value="").to_csv(text, **style)
            out.write(text.getvalue())
            tell(path.name, min(number * BLOCK, made.providers), made.providers)
    return part.replace(path)


def _lacking(layout: layouts.Layout, path: Path) -> frozenset[str]:
    """Gender is gone since data year 2023."""
    year = layouts.kinds()[layout.kind].year(path.name) or 0
    return layout.lacking if year >= 2023 else frozenset()


def _stream(made: Made, *what: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(made.seed, spawn_key=what)))


def npis(first: int, count: int) -> list[str]:
    """Return numbers in the form of an NPI whose check digit is wrong.

    >>> npis(0, 2)
    ['1000000005', '1000000013']
    """
    made = []
    for number in range(first, first + count):
        nine = f"1{number:08d}"
        made.append(f"{nine}{(check_digit(nine) + 1) % 10}")
    return made


def check_digit(nine: str) -> int:
    """Return the check digit of an NPI's first nine digits: Luhn, with 80840 before them.

    >>> check_digit("123456789")
    3
    """
    digits = [int(letter) for letter in f"80840{nine}"]
    doubled = [digit * 2 if place % 2 == 0 else digit for place, digit in enumerate(reversed(digits))]
    return -sum(digit - 9 if digit > 9 else digit for digit in doubled) % 10


def _people(made: Made, block: int) -> pd.DataFrame:
    """Draw a block of providers: who they are, and what makes their lines large or small."""
    first = block * BLOCK
    count = min(BLOCK, made.providers - first)
    draw = _stream(made, 0, block)
    people = pd.DataFrame({"npi": npis(first, count)})
    organisation = draw.random(count) < 0.06
    people["entity"] = np.where(organisation, "O", "I")
    people["gender"] = np.where(organisation, "", np.where(draw.random(count) < 0.45, "F", "M"))
    people["state"] = draw.choice(STATES, count)
    people["specialty"] = draw.choice(SPECIALTIES, count, p=_falling(len(SPECIALTIES)))
    people["fraud"] = draw.random(count) < made.rate
    people["excluded"] = np.where(people["fraud"], draw.integers(min(made.years) + 1, max(made.years) + 4, count), 9999)
    people["part_d"], people["dmepos"] = (
        draw.random(count) < 0.93,
        draw.random(count) < 0.85,
    )  # who has lines there at all
    people["volume"] = np.exp(draw.normal(0, 0.7, count) + 0.45 * people["fraud"])
    people["price"] = np.exp(draw.normal(0, 0.3, count) + 0.25 * people["fraud"])
    people["drugs"] = np.exp(draw.normal(0, 0.6, count) + 0.5 * people["fraud"])
    people["name"] = [f'SYNTHETIC, "NOBODY" {npi[1:6]}' if n % 97 == 0 else f"SYNTHETIC {npi[1:6]}" for n, npi in
                      enumerate(people["npi"])]  # fmt: skip
    return people


def _falling(count: int) -> np.ndarray:
    weights = 1 / np.arange(1, count + 1)
    return weights / weights.sum()


def _blocks(made: Made, kind: str, year: int, layout: layouts.Layout) -> Iterator[pd.DataFrame]:
    for block in range(-(-made.providers // BLOCK)):
        draw = _stream(made, 1, STREAMS[kind], year, block)
        people = _people(made, block).query("excluded >= @year")
        if kind in people:
            people = people[people[kind]]
        people = people.reset_index(drop=True)
        lines = _by_provider(people, draw) if kind == "part_b_provider" else _LINES[kind](people, draw)
        named = {theirs: lines[ours] for ours, theirs in layout.reads.items() if ours in lines}
        named |= {name: lines[ours] for name, ours in _more(layout).items() if ours in lines}
        yield pd.DataFrame(named)


def _more(layout: layouts.Layout) -> dict[str, str]:
    """Columns that the recipe does not read, and that a real file has filled."""
    known = {
        "last_org_name": "name", "last_name_org": "name", "city": "city", "zip5": "zip", "provider_zip": "zip9",
        "hcpcs_cd": "code", "hcpcs_code": "code", "hcpcs_desc": "words", "hcpcs_description": "words",
        "alowd_amt": "allowed", "allowed_amt": "allowed", "stdzd_amt": "allowed", "gnrc_name": "words",
        "generic_name": "words", "brnd_name": "words", "drug_name": "words", "ge65_sprsn_flag": "flag",
        "ge65_suppress_flag": "flag", "place_of_srvc": "place", "place_of_service": "place", "st1": "street",
        "street1": "street", "tot_benes": "benes", "bene_avg_age": "age", "avg_risk_scre": "risk",
    }  # fmt: skip
    reads = set(layout.reads.values())
    found = {}
    for column in layout.columns:
        if column not in reads and not column.lower().startswith("stdev"):
            ends = [ours for end, ours in known.items() if column.lower().endswith(end)]
            found.update({column: ends[0]} if ends else {})
    return found


def _spread(people: pd.DataFrame, draw: np.random.Generator, kind: str, of: Sequence[float]) -> pd.DataFrame:
    """Return one row per line: a provider has at least one, and more the more it bills."""
    counts = 1 + draw.poisson((LINES[kind] - 1) * np.asarray(of) / float(np.mean(of)))
    lines = people.loc[people.index.repeat(counts)].reset_index(drop=True)
    size = len(lines)
    code = draw.integers(0, 400, size)
    lines["code"] = np.where(code % 11 == 0, np.char.add(code.astype(str), "08F"), (99000 + code).astype(str))
    lines["words"] = "SYNTHETIC ITEM"
    lines["city"], lines["street"], lines["place"] = "SYNTHETIC", "1 NO STREET, STE 4", "O"
    lines["zip"] = np.char.zfill((code * 7 + 501).astype(str), 5)
    lines["zip9"] = lines["zip"] + "0001"
    return lines


def _text(values: np.ndarray, places: int) -> np.ndarray:
    """Print numbers as CMS does: no zeros at the end."""
    return (
        pd.Series(np.round(values, places)).map(lambda value: f"{value:.{places}f}".rstrip("0").rstrip(".")).to_numpy()
    )


def _part_b(people: pd.DataFrame, draw: np.random.Generator) -> pd.DataFrame:
    lines = _spread(people, draw, "part_b", people["volume"])
    size, volume, price = len(lines), lines["volume"].to_numpy(), lines["price"].to_numpy()
    benes = 11 + draw.poisson(25 * volume * draw.gamma(1.2, 1, size))
    services = benes * (1 + draw.gamma(0.6, 0.8, size))
    charge = np.exp(draw.normal(4.8, 0.9, size)) * price
    allowed = charge * draw.uniform(0.25, 0.6, size)
    lines["bene_unique_cnt"], lines["line_svc_cnt"] = benes.astype(str), _text(services, 1)
    lines["bene_day_srvc_cnt"] = np.maximum(benes, np.floor(services * 0.9)).astype(int).astype(str)
    lines["average_submitted_chrg_amt"], lines["allowed"] = _text(charge, 8), _text(allowed, 8)
    lines["average_medicare_payment_amt"] = _text(allowed * draw.uniform(0.7, 0.8, size), 8)
    return lines


def _part_d(people: pd.DataFrame, draw: np.random.Generator) -> pd.DataFrame:
    lines = _spread(people, draw, "part_d", people["drugs"])
    size, drugs = len(lines), lines["drugs"].to_numpy()
    claims = 11 + draw.poisson(20 * drugs * draw.gamma(1.0, 1, size))
    benes = np.maximum(1, np.floor(claims / draw.uniform(1.5, 6, size))).astype(int)
    flag = np.where(benes < 11, "*", np.where(draw.random(size) < 0.2, "#", ""))
    lines["total_claim_count"] = claims.astype(str)
    lines["total_30_day_fill_count"] = _text(claims * draw.uniform(1, 2.4, size), 1)
    lines["total_day_supply"] = (claims * draw.integers(20, 80, size)).astype(str)
    lines["total_drug_cost"] = _text(claims * np.exp(draw.normal(3.4, 1.1, size)), 2)
    lines["bene_count"], lines["flag"] = np.where(benes < 11, "", benes.astype(str)), flag
    return lines


def _dmepos(people: pd.DataFrame, draw: np.random.Generator) -> pd.DataFrame:
    lines = _spread(people, draw, "dmepos", people["volume"])
    size, volume, price = len(lines), lines["volume"].to_numpy(), lines["price"].to_numpy()
    claims = 11 + draw.poisson(14 * volume * draw.gamma(1.0, 1, size))
    benes = np.maximum(1, np.floor(claims / draw.uniform(1, 4, size))).astype(int)
    charge = np.exp(draw.normal(4.2, 1.0, size)) * price
    allowed = charge * draw.uniform(0.3, 0.6, size)
    lines["tot_suplrs"] = (1 + draw.poisson(3, size)).astype(str)
    lines["tot_suplr_benes"] = np.where(benes < 11, "", benes.astype(str))
    lines["tot_suplr_clms"] = claims.astype(str)
    lines["tot_suplr_srvcs"] = (claims * (1 + draw.poisson(8, size))).astype(str)
    lines["avg_suplr_sbmtd_chrg"], lines["allowed"] = _text(charge, 8), _text(allowed, 8)
    lines["avg_suplr_mdcr_pymt_amt"] = _text(allowed * 0.78, 8)
    return lines


_LINES = {"part_b": _part_b, "part_d": _part_d, "dmepos": _dmepos}


def _by_provider(people: pd.DataFrame, draw: np.random.Generator) -> pd.DataFrame:
    size = len(people)
    benes = 11 + draw.poisson(180 * people["volume"].to_numpy())
    dual = draw.binomial(benes, draw.beta(2, 6, size))
    hidden = (dual < 11) | (benes - dual < 11)
    people["benes"] = benes.astype(str)
    people["dual"] = np.where(hidden, "", dual.astype(str))
    people["not_dual"] = np.where(hidden, "", (benes - dual).astype(str))
    people["age"], people["risk"] = _text(draw.normal(71, 4, size), 0), _text(draw.gamma(9, 0.15, size), 4)
    return people


def _excluded(made: Made) -> Iterator[pd.DataFrame]:
    """Write the list: businesses first, without an NPI; then providers who are excluded, most after the last year."""
    counting = [code for code, told in codes().items() if told.get("fraud")]
    last = max(made.years)
    draw = _stream(made, 2)
    other = 40 + made.providers // 50
    years = draw.integers(1995, last + 4, other)
    yield _exclusions(draw, ["0000000000"] * other, list(codes()), years, business=True)
    for block in range(-(-made.providers // BLOCK)):
        people, draw = _people(made, block), _stream(made, 3, block)
        positive = people[people["fraud"]]
        for part in (positive, positive[::9]):  # some stand in the list twice
            if len(part):
                yield _exclusions(draw, part["npi"].tolist(), counting, part["excluded"].to_numpy(), business=False)
        before = people.loc[(draw.random(len(people)) < 0.0004) & ~people["fraud"], "npi"].tolist()
        if before:
            years = draw.integers(last - 4, last + 1, len(before))
            yield _exclusions(draw, before, list(codes()), years, business=False)


def _exclusions(
    draw: np.random.Generator, numbers: Sequence[str], among: Sequence[str], years: np.ndarray, *, business: bool
) -> pd.DataFrame:
    size = len(numbers)
    days = [f"{year}{month:02d}{day:02d}" for year, month, day in zip(
        years, draw.integers(1, 13, size), draw.integers(1, 29, size), strict=True
    )]  # fmt: skip
    reinstated = np.where(draw.random(size) < 0.01, "20260120", "00000000")
    person = {"LASTNAME": "" if business else "SYNTHETIC", "FIRSTNAME": "" if business else "NOBODY", "MIDNAME": ""}
    firm = {
        "BUSNAME": "#1 SYNTHETIC SERVICE, INC" if business else "",
        "GENERAL": "OTHER BUSINESS" if business else "INDIVIDUAL",
    }
    return pd.DataFrame({
        **person, **firm, "SPECIALTY": "", "UPIN": "", "NPI": numbers, "DOB": "" if business else "19600101",
        "ADDRESS": "1 NO STREET, STE 4", "CITY": "SYNTHETIC", "STATE": draw.choice(STATES, size), "ZIP": "00501",
        "EXCLTYPE": draw.choice(list(among), size), "EXCLDATE": days, "REINDATE": reinstated,
        "WAIVERDATE": "00000000", "WVRSTATE": "",
    })  # fmt: skip
