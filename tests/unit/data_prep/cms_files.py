"""Small files in the layouts of CMS and the OIG, written by hand for tests; a column that is not named is empty."""

import csv

from data_prep.cms import layouts

NAMES = {
    "part_b": "MUP_PHY_R25_P05_V20_D{year}_Prov_Svc.csv",
    "part_b_provider": "MUP_PHY_R25_P05_V20_D{year}_Prov.csv",
    "part_d": "MUP_DPR_RY25_P04_V10_DY{year}_NPIBN.csv",
    "dmepos": "mup_dme_ry25_p05_v10_dy{year}_rfrr_hcpcs.csv",
}
# A line of each, by the recipe's names.
PART_B = {
    "gender": "F", "entity": "I", "state": "CA", "specialty": "Cardiology", "bene_unique_cnt": "20",
    "line_svc_cnt": "25.5", "bene_day_srvc_cnt": "22", "average_submitted_chrg_amt": "100.5",
    "average_medicare_payment_amt": "40.25",
}  # fmt: skip
PART_D = {
    "state": "CA", "specialty": "Cardiology", "total_claim_count": "12", "total_30_day_fill_count": "20.4",
    "total_day_supply": "600", "total_drug_cost": "1234.5", "bene_count": "",
}  # fmt: skip
DMEPOS = {
    "gender": "F", "entity": "I", "state": "CA", "specialty": "Cardiology", "tot_suplrs": "2", "tot_suplr_benes": "",
    "tot_suplr_clms": "14", "tot_suplr_srvcs": "30", "avg_suplr_sbmtd_chrg": "80", "avg_suplr_mdcr_pymt_amt": "31.2",
}  # fmt: skip
LINES = {"part_b": PART_B, "part_d": PART_D, "dmepos": DMEPOS}


def layout(kind, name=None):
    found = layouts.kinds()[kind].layouts
    return found[0] if name is None else next(each for each in found if each.name == name)


def write(path, of, rows, *, lacking=(), **style):
    """Write rows, by the recipe's names or the file's."""
    columns = [name for name in of.columns if name not in lacking]
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, delimiter=of.delimiter, **{"lineterminator": "\n", **style})
        writer.writeheader()
        for row in rows:
            writer.writerow({of.reads.get(name, name): value for name, value in row.items()})
    return path


def folder_of(path, *, year=19, npis=("1000000005",), **lines):
    """Write the three files of a year, a line for each provider, or those that are given by kind."""
    path.mkdir(parents=True, exist_ok=True)
    for kind, name in NAMES.items():
        if kind in LINES:
            rows = lines.get(kind) or [{"npi": npi, **LINES[kind]} for npi in npis]
            write(path / name.format(year=year), layout(kind), [{**LINES[kind], "npi": npis[0], **row} for row in rows])
    return path


def exclusion(npi, code="1128a1", excluded="20200301", **more):
    return {
        "LASTNAME": "SYNTHETIC", "NPI": npi, "EXCLTYPE": code, "EXCLDATE": excluded, "REINDATE": "00000000",
        "WAIVERDATE": "00000000", "DOB": "19600101", **more,
    }  # fmt: skip


def leie(path, *rows):
    """Write the list of exclusions as the OIG does: every field quoted, Windows' ends of lines."""
    return write(path, layout("leie"), rows, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
