"""The style sheet of report.html: two columns on a desktop, table rows as blocks on a phone, A4 in print."""

STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 100rem; margin: 1.5rem auto; padding: 0 1rem; overflow-wrap: break-word; }
p { max-width: 62rem; }
h1 { font-size: 1.5rem; margin-bottom: .5rem; } h2 { font-size: 1.1rem; margin: 1.5rem 0 .4rem; }
.headline { font-size: 1.15rem; font-weight: 600; margin: .5rem 0; max-width: none; }
nav ul { list-style: none; margin: .5rem 0; padding: 0; display: flex; flex-wrap: wrap; gap: .1rem 1.2rem; font-size: .9rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
td, th { padding: .25rem 1.2rem .25rem 0; text-align: right; font-weight: normal; }
thead th { border-bottom: 1px solid currentColor; vertical-align: bottom; }
tr > :first-child { text-align: left; }
td, tbody th { white-space: nowrap; }
.tables { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 34rem), 1fr)); gap: 0 2rem; }
.span { grid-column: 1 / -1; } .tables section { min-width: 0; }
.figures { columns: 34rem 2; column-gap: 2rem; } .figures section { break-inside: avoid; overflow: hidden; }
figure { margin: 0; }
img { width: 100%; max-width: 60rem; height: auto; background: #fff; border-radius: 4px; }
figcaption, .note { font-size: .85rem; opacity: .8; }
code { font-size: .85rem; }
.metrics { columns: 22rem; column-gap: 2.5rem; margin: 0; font-size: .9rem; }
.metrics div { display: flex; flex-wrap: wrap; justify-content: space-between; column-gap: 1rem; break-inside: avoid; }
.metrics dd { margin: 0 0 0 auto; font-variant-numeric: tabular-nums; }
.made { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.5rem; font-size: .9rem; }
.made dd { margin: 0; } .made ul { columns: 20rem; list-style: none; margin: 0; padding: 0; }
@media screen and (max-width: 45rem) {
  table, tbody, tr, td, tbody th { display: block; }
  thead, td:empty { display: none; }
  tr { padding: .3rem 0; border-bottom: 1px solid #8884; }
  tbody th { font-weight: 600; padding: 0; }
  tbody th { white-space: normal; }
  td { display: flex; justify-content: space-between; gap: 1rem; padding: 0; text-align: right; }
  td::before { content: attr(data-head); white-space: normal; text-align: left; opacity: .8; }
  .made { display: block; } .made dt { font-weight: 600; margin-top: .4rem; }
}
@media print {
  body { margin: 0; max-width: none; font-size: 10pt; } h2, figure, tr { break-inside: avoid; } h2 { break-after: avoid; }
  nav { display: none; } .tables { display: block; } .figures { columns: auto; } img { max-height: 22cm; width: auto; max-width: 100%; }
  table { font-size: 8pt; } td, tbody th { white-space: normal; } td, th { padding-right: .5rem; }
}
"""
