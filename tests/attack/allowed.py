"""Damages after which a reader rightly goes on with another result."""

WHOLE = "what is left is a whole file; the size and SHA-256 in the table of sources tell"
BY_HAND = "what is left is a whole table; people write it, so nothing tells its end"
ANOTHER = "another file as valid as this one"
PENDING = "the run or job is not finished, and shown as pending"
OWN_FILE = "a whole file of the run's own name and fingerprint: somebody changed it on purpose"
FALLBACK = "the run starts anew, and the log says so"

# (what the try's name matches, why)
ALLOWED = [
    (r"^config of the workflow: .*: ava: films is 'x'$", "a path; the plan says that there is no such file"),
    (
        r"^config of .*: (recipes: .*|training: \w+) lacks$",
        "the setting's default counts, as config/README.md shows it",
    ),
    (r"^config of a run: .*: model: head_scale is 7.5$", "a number"),
    (r"^config of a run: .*: a quote inside$", "a path may have a quote"),
    (r"^(own )?table of methods: .*: (cut by 7 bytes|ends inside the last row|a row of half the length)$", BY_HAND),
    (r"^table of sources: .*: (cut by 7 bytes|ends inside the last row|a row of half the length)$", BY_HAND),
    (r"^published table: .*: (cut by 7 bytes|cut at 10%|ends inside the last row|a row of half the length)$", BY_HAND),
    (r"^names of classes: .*: (cut by 7 bytes|ends inside the last row|a row of half the length)$", BY_HAND),
    (r"^(own table of methods|local config): .*: missing$", "the file is optional"),
    (r"^local config: .*: (empty|null|an empty mapping)$", "no own settings"),
    (r"^(table of sources|names of classes): .*: a quote inside$", "text may have a quote"),
    (r"^table of sources: .*: last row twice$", "an address that is tried twice"),
    (r"^inspect --add: local_methods.tsv: (missing|link to)", "a new table is made"),
    (r"^list of films: .*: (cut at 50%|rows reversed|cut at 90%)$", ANOTHER),
    (r"^list of films: .*: (cut by 7 bytes|first row lacks|last row twice|all rows twice)$", ANOTHER),
    (r"^list_ava, .*: (cut at \d\d%|first row lacks|rows reversed|last row twice|all rows twice)$", ANOTHER),
    (r"^list_ava, .*: (escape sequence inside|a quote inside)$", "a video that is not selected; the log names it"),
    (r"^list_ava, (boxes|training): .*: ends inside the last row$", WHOLE),
    (r"^list_ava, index: .*: a row less$", "the log says how many frames the window lacks"),
    (r"^(ground truth|detections|exclusions|list_ava, excluded): .*: (cut |ends inside|a row of half)", WHOLE),
    (
        r"^(ground truth|detections|exclusions): .*: (first row lacks|rows reversed|last row twice|all rows twice)$",
        ANOTHER,
    ),
    (r"^ground truth: .*: (one column more|last column twice)$", "the eighth column is the person, which may lack"),
    (r"^(packed ground truth|exclusions|list_ava, excluded): .*: empty$", "there may be no excluded second"),
    (r"^detections: .*: (empty|a quote inside)$", "there may be no detection, and a name may have a quote"),
    (r"^(exclusions|list_ava, excluded): .*: a quote inside$", "a name may have a quote"),
    (r"^index_folder: .*: (a folder|a link to nothing) as a frame$", "only names are read; training names the frame"),
    (r"^loaded .*: half precision$", "half precision is read"),
    (r"^resume.pth: .*: (missing|link to itself|link to nothing|a mapping without content)$", FALLBACK),
    (r"^(report|partial), .*: (missing|link to itself|link to nothing)$", PENDING),
    (
        r"^(report|partial), metrics.json: .*: (an empty mapping|fingerprint .*|trained .*)$",
        "as of other settings: pending",
    ),
    (r"^score .*: predictions.npz: (a row less of all|unknown videos|all rows twice)$", OWN_FILE),
    (r"^(report|partial), per_class.csv: .*: (a line of 5 MB|a row of .*)$", OWN_FILE),
    (r"^(AVA|Charades) clips, list: .*: (last row twice|cut at \d\d%)$", OWN_FILE),
    (r"^clips, frames list: .*: ends inside the last row$", OWN_FILE),
    (r"^list_charades: .*: cut by 7 bytes$", WHOLE),
    (r"^label map: .*: a quote inside$", "a name may have a quote"),
    (r"^ground truth: .*: column 7 is '0'$", "a class that is not evaluated"),
    (r"^(report|partial), history.csv: .*: (a row of half the length|ends inside the last row)$", "a digit of a curve"),
]
