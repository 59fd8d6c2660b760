from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from itk_nephi.io.tables import Table, read_csv


def table(path: Path, text: str, encoding: str = "utf-8") -> Table:
    path.write_text(text, encoding=encoding)
    return Table.read(path, "CSV")


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_tables_of_all_spreadsheets_are_the_same(
    tmp_path: Path, separator: str, encoding: str, newline: str
) -> None:
    lines = [["name ", " x", "y"], ['"tip; 1, left"', "1.5", "-2"], ["", "", ""], ["é", "3", "4e1"]]
    text = newline.join(separator.join(line) for line in lines[:2]) + newline * 2
    found = table(tmp_path / "a.csv", text + separator.join(lines[3]), encoding)
    assert found.header == ["name", "x", "y"]
    assert [row[0] for row in found.rows] == ["tip; 1, left", "é"]
    np.testing.assert_array_equal(found.points(["y", "x"]), [[-2, 1.5], [40, 3]])


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_table_is_written_in_the_form_that_it_was_read_in(
    tmp_path: Path, separator: str, encoding: str, newline: str
) -> None:
    lines = [["# by hand"], ["name", "x", "y"], ["é, left; tip\tof it", "1.5", "-2.0"]]
    lines[2][0] = f'"{lines[2][0]}"'
    content = "".join(separator.join(line) + newline for line in lines).encode(encoding)
    (tmp_path / "a.csv").write_bytes(content)
    found = Table.read(tmp_path / "a.csv", "CSV")
    found.write(tmp_path / "b.csv", ["x", "y"], found.points(["x", "y"]))
    assert (tmp_path / "b.csv").read_bytes() == content


def test_numbers_come_back_to_the_last_bit_and_other_columns_as_they_were(tmp_path: Path) -> None:
    points = np.random.default_rng(0).normal(size=(20, 2)) * 10.0 ** np.arange(-10, 10)[:, None]
    rows = "".join(f'0,"a, {n}",0,007\n' for n in range(20))
    source = table(tmp_path / "a.csv", "y,name,x,number\n" + rows)
    source.write(tmp_path / "b.csv", ["x", "y"], points)
    found = Table.read(tmp_path / "b.csv", "CSV")
    np.testing.assert_array_equal(found.points(["x", "y"]), points)
    assert found.header == source.header
    kept = [[row[1], row[3]] for row in found.rows]
    assert kept == [[f"a, {n}", "007"] for n in range(20)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "to be a CSV file with a header, got .*, empty"),
        ("x,y\n1,2\n3\n", "expected 2 columns in every row of CSV, got 1 in row 2"),
        ("x,z\n1,2\n", "rows with the columns x, y, got .* with 1 rows and the columns x, z"),
        ("x,y\n", "with 0 rows"),
        ("x,y\n1,2\n3,four\n", "finite numbers in CSV, got 'four' in row 2, column y"),
        ("x,y\ninf,2\n", "got 'inf' in row 1, column x"),
        ("x,y\n,2\n", "got '' in row 1, column x"),
        ("x,y,z\n1,2,3\n", "expected CSV in 2 dimensions, got .* with a column z"),
        ("x,y\n1_0,2\n", "got '1_0' in row 1, column x"),
        ('x,y,z\n1,2,"3\n4,5,6\n', "expected CSV to be a CSV file, got .* end of data"),
    ],
)
def test_what_is_wrong_is_named_with_its_row_and_column(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        table(tmp_path / "a.csv", text).points(["x", "y"])


def test_what_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"x,y\n\xff\xfe,2\n")
    with pytest.raises(ValueError, match=r"expected CSV to be a CSV file, got .* can't decode"):
        read_csv(tmp_path / "a.csv", "CSV")


@pytest.mark.parametrize(
    ("name", "space", "signs"),
    [
        ("a.fcsv", "CoordinateSystem = LPS", (1, 1, 1)),
        ("a.fcsv", "CoordinateSystem = RAS", (-1, -1, 1)),
        ("a.fcsv", "CoordinateSystem = 0", (-1, -1, 1)),
        ("a.fcsv", "CoordinateSystem = 1", (1, 1, 1)),
        ("a.fcsv", "Markups fiducial file version = 4.6", (-1, -1, 1)),
        ("a.csv", "SPACE=RAS", (-1, -1, 1)),
        ("a.csv", "by hand", (1, 1, 1)),
    ],
)
def test_the_space_that_comments_name_is_honored_and_kept(
    tmp_path: Path, name: str, space: str, signs: tuple[int, int, int]
) -> None:
    text = f"# {space}\n# columns = id,x,y,z,label\n1,10,-150,380,F-1\n2,4,5,6,\n"
    found = table(tmp_path / name, text)
    stored = np.array([[10.0, -150.0, 380.0], [4.0, 5.0, 6.0]])
    np.testing.assert_array_equal(found.points(["x", "y", "z"]), stored * signs)
    shift = np.array([1.0, 2.5, 3.0])
    found.write(tmp_path / f"moved-{name}", ["x", "y", "z"], stored * signs + shift)
    rows = [",".join(map(repr, row)) for row in (stored + shift * signs).tolist()]
    expected = [f"# {space}", "# columns = id,x,y,z,label", f"1,{rows[0]},F-1", f"2,{rows[1]},"]
    assert (tmp_path / f"moved-{name}").read_text().splitlines() == expected


def test_landmarks_are_turned_as_well(tmp_path: Path) -> None:
    text = "# SPACE=RAS\nfixed_x,fixed_y,moving_x,moving_y\n1,2,3,4\n"
    names = ["fixed_x", "fixed_y", "moving_x", "moving_y"]
    assert table(tmp_path / "a.csv", text).points(names).tolist() == [[-1, -2, -3, -4]]


def test_other_spaces_and_columns_that_are_there_twice_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"in LPS or RAS, got .* coordinate system SCANNER"):
        table(tmp_path / "a.csv", "# SPACE=scanner\nx,y\n1,2\n")
    with pytest.raises(ValueError, match=r"each column of CSV once, got 'x' 2 times in"):
        table(tmp_path / "a.csv", "x,y,x\n1,2,3\n").points(["x", "y"])


def test_rows_may_begin_like_comments_and_spaces_be_named_with_a_colon(tmp_path: Path) -> None:
    text = "# CoordinateSystem: RAS\n\n# by hand\nlabel,x,y\n#1,1,2\n#2,3,4\n"
    found = table(tmp_path / "a.csv", text)
    np.testing.assert_array_equal(found.points(["x", "y"]), [[-1, -2], [-3, -4]])
    found.write(tmp_path / "b.csv", ["x", "y"], found.points(["x", "y"]))
    rows = ["# CoordinateSystem: RAS", "# by hand", "label,x,y", "#1,1.0,2.0", "#2,3.0,4.0"]
    assert (tmp_path / "b.csv").read_text().splitlines() == rows
