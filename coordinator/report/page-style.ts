// The style sheet of all pages: light and dark by the reader's setting, paper without what is for screens.

const LIGHT = `--page:#ffffff;--raised:#f6f7f9;--text:#1c2128;--muted:#57606a;--border:#d5dae0;--link:#0a58b8;
--reference:#6e7781;--series-1:#0b5cad;--series-2:#b3470b;--series-3:#0b7350;--series-4:#7a3aa8;--series-5:#a3184a;
--series-6:#59636e;`;
const DARK = `--page:#0f1318;--raised:#171c23;--text:#e4e8ed;--muted:#9da7b3;--border:#303842;--link:#79b8ff;
--reference:#8b96a3;--series-1:#6cb2ff;--series-2:#f2a25c;--series-3:#4fd1a0;--series-4:#cfa2f5;--series-5:#ff8fb3;
--series-6:#b1bac4;`;

export const STYLE = `
:root{${LIGHT}color-scheme:light dark}
@media screen and (prefers-color-scheme:dark){:root{${DARK}}}
*{box-sizing:border-box}
html{scroll-behavior:smooth;-webkit-text-size-adjust:100%}
body{margin:0 auto;max-width:56rem;padding:0 1.25rem 3rem;background:var(--page);color:var(--text);
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Liberation Sans",sans-serif;overflow-wrap:anywhere}
a{color:var(--link)}
:focus-visible{outline:3px solid var(--link);outline-offset:2px;border-radius:2px}
main:focus{outline:none}
.skip{position:absolute;left:-999rem;top:0;padding:.6rem 1rem;background:var(--link);color:var(--page);z-index:1}
.skip:focus{left:0}
header{padding-top:2.5rem}
.brand{margin:0;font-size:.85rem;font-weight:600;letter-spacing:.09em;text-transform:uppercase;color:var(--muted)}
h1{margin:.2rem 0 .6rem;font-size:2rem;line-height:1.2;letter-spacing:-.015em}
h2{margin:3.2rem 0 .8rem;padding-top:1rem;border-top:1px solid var(--border);font-size:1.4rem;line-height:1.25}
h3{margin:0 0 .3rem;font-size:1.08rem}
h4{margin:.6rem 0 .2rem;font-size:.92rem;font-weight:600}
p{margin:.3rem 0 .8rem}
.lead{font-size:1.1rem}
nav ul{display:flex;flex-wrap:wrap;gap:.2rem 1.2rem;margin:1.4rem 0 0;padding:0;list-style:none;font-size:.95rem}
nav a{display:inline-block;padding:.25rem 0}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(10rem,1fr));gap:.8rem;margin:1.4rem 0;padding:0;list-style:none}
.tiles li{padding:.8rem 1rem;border:1px solid var(--border);border-radius:.6rem;background:var(--raised)}
.tiles b{display:block;font-size:1.5rem;line-height:1.25;font-variant-numeric:tabular-nums}
.tiles span{color:var(--muted);font-size:.88rem}
figure{margin:1.6rem 0 2.4rem}
figcaption p{margin:0 0 .8rem;color:var(--muted);font-size:.93rem}
.panels{display:flex;flex-wrap:wrap;gap:1rem 20px}
.panel.full{flex:1 1 100%;min-width:0}
.panel.half{flex:0 1 380px;min-width:0}
.chart svg{display:block;width:100%;height:auto;overflow:visible;fill:currentColor;
font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Liberation Sans",sans-serif;font-variant-numeric:tabular-nums}
.chart svg text{white-space:pre;fill:var(--text)}
.chart.narrow{display:none}
.legend{display:flex;flex-wrap:wrap;gap:.15rem 1.1rem;margin:0 0 .5rem;padding:0;list-style:none;font-size:.9rem}
.legend li{display:flex;align-items:center;gap:.45rem}
.legend svg{flex:none;overflow:visible}
details{margin:.7rem 0 0}
summary{cursor:pointer;padding:.2rem 0;color:var(--link);font-size:.93rem;width:fit-content}
.scroll{overflow-x:auto;margin:.6rem 0 1rem}
table{border-collapse:collapse;min-width:100%;font-size:.9rem;font-variant-numeric:tabular-nums;overflow-wrap:normal}
caption{text-align:left;color:var(--muted);padding:0 0 .4rem;font-size:.88rem}
th,td{padding:.4rem .45rem;border-bottom:1px solid var(--border);text-align:right;white-space:nowrap}
thead th{border-bottom:2px solid var(--border);color:var(--muted);font-weight:600}
th[scope=row],thead th:first-child{text-align:left}
th[scope=row]{font-weight:600}
th:first-child{padding-left:0}
th.long,td.long{white-space:normal;overflow-wrap:anywhere;min-width:11rem}
thead th{white-space:normal;vertical-align:bottom;overflow-wrap:normal}
pre{margin:.6rem 0 1rem;padding:.9rem 1rem;border:1px solid var(--border);border-radius:.6rem;background:var(--raised);
white-space:pre-wrap;overflow-wrap:anywhere;font-size:.87rem}
code{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"Liberation Mono",monospace}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.25rem 1.4rem;margin:.6rem 0 1.2rem;font-size:.93rem}
dt{color:var(--muted)}
dd{margin:0;min-width:0;font-variant-numeric:tabular-nums}
footer{margin-top:3rem;padding-top:1rem;border-top:1px solid var(--border);color:var(--muted);font-size:.88rem}
@media (max-width:45rem){
.panel.half{flex:1 1 100%}
}
@media screen and (max-width:34rem){
body{padding:0 1rem 2rem}
.chart.wide{display:none}
.chart.narrow{display:block}
h1{font-size:1.6rem}
dl{grid-template-columns:1fr;gap:0}
dd{margin-bottom:.5rem}
}
@media (prefers-reduced-motion:reduce){html{scroll-behavior:auto}}
@media (forced-colors:active){.chart svg{forced-color-adjust:auto}}
@page{margin:16mm 14mm}
@media print{
body{max-width:none;padding:0;font-size:10.5pt}
nav,.skip,summary{display:none}
header{padding-top:0}
h2,h3,h4{break-after:avoid}
h2{margin-top:1.6rem}
figure,tr,.panel,.tiles li{break-inside:avoid}
figure{margin:1rem 0 1.4rem}
.panel.half{flex:0 1 47%}
details{display:block}
details::details-content{content-visibility:visible;display:block;height:auto}
.scroll{overflow:visible}
table{font-size:8.5pt}
th,td{padding:.2rem .4rem}
a{color:inherit;text-decoration:none}
.tiles li,pre{background:none}
}
`;
