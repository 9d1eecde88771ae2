"""What comes from a file is shown in one short line."""

from trainer.utils.errors import InputError
from trainer.utils.text import did_you_mean, listed, printable, quoted, shown


def test_plain_names_are_shown_as_they_are_and_others_in_quotes():
    assert shown("module.encoder_q.layer1.0.conv1.weight") == "module.encoder_q.layer1.0.conv1.weight"
    assert shown("\x1b[2J\nerror: disk full") == r"'\x1b[2J\nerror: disk full'"
    assert shown("fine. error: not") == "'fine. error: not'"
    assert shown("") == "''"
    assert shown("a" * 300) == repr("a" * 200 + "...")
    assert quoted("a") == "'a'"
    assert printable("a\x1b\u202eb") == r"a\x1b\u202eb"


def test_a_list_names_the_first_and_counts_the_others():
    assert listed(iter("ab")) == "a, b"
    assert listed("abcde") == "a, b, c and 2 more"
    assert listed("abcde", 4) == "a, b, c, d and 1 more"
    assert listed([]) == ""


def test_a_name_that_is_nearly_known_is_proposed():
    assert did_you_mean("recipee", ["method", "recipe"]) == " (did you mean recipe?)"
    assert did_you_mean("note", ["method", "recipe"]) == ""


def test_an_error_is_one_line_whatever_it_names():
    assert str(InputError("a\nerror: \x1b[2J.pth: no such file")) == r"a\nerror: \x1b[2J.pth: no such file"
