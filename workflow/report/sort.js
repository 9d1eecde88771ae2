// Sort a table by the column of the heading that is clicked: numbers by size, words by alphabet, missing values last.
for (const button of document.querySelectorAll(".sortable th button")) {
  button.addEventListener("click", () => {
    const heading = button.parentElement;
    const column = heading.cellIndex;
    const body = heading.closest("table").tBodies[0];
    const rising = heading.getAttribute("aria-sort") === "descending" || (column === 0 && !heading.hasAttribute("aria-sort"));
    for (const other of heading.parentElement.cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", rising ? "ascending" : "descending");
    const value = row => row.cells[column].dataset.value;
    const compare = (a, b) => a - b || a.localeCompare(b);
    const rows = [...body.rows].sort((a, b) =>
      (value(a) === "") - (value(b) === "") || (rising ? 1 : -1) * compare(value(a), value(b)));
    body.append(...rows);
  });
}
