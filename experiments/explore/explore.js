// The explorer. `state` says what is looked at; every change of it goes through show(), which draws what depends on it.

page.start((models, values, arrays) => {
  const {history, moments, counts, config, summary, vectors, style, levels} = values;
  const steps = history.step, p = config.p;
  const orders = Object.keys(values.orders), sets = Object.keys(values.sets);
  const state = {row: steps.length - 1, order: orders[0], point: 0, neuron: null};
  const $ = (id) => document.getElementById(id);
  const number = (value, digits = 4) => value === null || Number.isNaN(value) ? "–" : value.toFixed(digits);
  const along = (step) => Math.log10(1 + step);
  const noun = values.noun[0].toUpperCase() + values.noun.slice(1);
  const hasNeurons = vectors.length > 0, hasPruning = orders.length > 0;

  // ---- what a part of the arrays is ----

  // The part of an array that belongs to the first indices: part("ipr", moment) are the IPRs of all neurons.
  function part(name, ...indices) {
    const {shape, data} = arrays[name];
    let size = data.length, first = 0;
    indices.forEach((index, axis) => { size /= shape[axis]; first += index * size; });
    return data.subarray(first, first + size);
  }

  // The moment nearest to the step that is looked at.
  function moment() {
    const step = steps[state.row];
    let nearest = 0;
    moments.forEach((one, index) => { if (Math.abs(one - step) < Math.abs(moments[nearest] - step)) nearest = index; });
    return nearest;
  }

  const orderNumber = () => orders.indexOf(state.order);
  const gone = () => new Set(hasPruning ? part("order", moment(), orderNumber()).subarray(0, counts[state.point]) : []);

  function prunedAccuracies(point) {
    return Array.from(part("pruned_accuracy", moment(), orderNumber(), point));
  }

  // ---- the step ----

  const measured = [...sets.map((name) => [`${name}_accuracy`, values.sets[name]]), ["mean_ipr", "mean IPR"],
                    ["weight_norm", "weight norm"]]
    .filter(([column]) => history[column][0] !== null);

  // An element with what a set of examples is drawn with, if it is one, and with what it is called.
  function labelled(kind, label, name) {
    const element = document.createElement(kind);
    if (name in style.sets) {
      const key = document.createElement("span");
      key.className = "key";
      key.style.borderTopColor = style.sets[name].colour;
      key.style.borderTopStyle = style.sets[name].dash;
      element.append(key);
    }
    element.append(label);
    return element;
  }

  function valued(kind, value) {
    const element = document.createElement(kind);
    element.textContent = value;
    return element;
  }

  function showStep() {
    const step = steps[state.row];
    $("step-shown").textContent = `${step} of ${summary.steps}`;
    $("step").setAttribute("aria-valuetext", `step ${step}`);
    $("now").replaceChildren(...measured.map(([column, label]) => {
      const item = document.createElement("div");
      item.dataset.name = column;
      item.append(labelled("dt", label, column.replace("_accuracy", "")),
                  valued("dd", number(history[column][state.row], column === "weight_norm" ? 2 : 4)));
      return item;
    }));
    models.cursor.location = along(step);
    const at = moments[moment()];
    $("weights-of").textContent = !hasNeurons && !values.modular ? ""
      : `Accuracies are those of step ${step}; neurons, answers and pruning those of step ${at}`
        + `${at === step ? "" : ", the nearest whose weights are here"}. Weights are here of the steps ${moments.join(", ")}`
        + (!values.snapshots ? "; grok.py --snapshots 12 keeps those of more steps."
           : moments.length < values.snapshots ? `; the run has ${values.snapshots} snapshots, too many for a page.` : ".");
  }

  // ---- pruning ----

  function showPruning() {
    const count = counts[state.point], share = count / config.width;
    $("prune-shown").textContent = `${count} of ${config.width} neurons (${Math.round(100 * share)} %)`;
    $("prune").setAttribute("aria-valuetext", `${count} of ${config.width} neurons`);
    const [whole, left] = [0, state.point].map(prunedAccuracies);
    $("pruned").tBodies[0].replaceChildren(...values.pruned_sets.map((name, index) => {
      const row = document.createElement("tr"), head = labelled("th", values.sets[name], name);
      head.scope = "row";
      row.dataset.name = name;
      row.append(head, valued("td", number(whole[index])), valued("td", number(left[index])));
      return row;
    }));
    const curves = Object.fromEntries(values.pruned_sets.map((name) => [name, []]));
    counts.forEach((_, point) => values.pruned_sets.forEach(
      (name, index) => curves[name].push(prunedAccuracies(point)[index])));
    models.pruned.data = {x: counts.map((one) => one / config.width), ...curves};
    models["pruned-cursor"].location = share;
  }

  // ---- answers ----

  const {ndarray} = Bokeh.require("core/util/ndarray");
  const KINDS = [["right", "right"], ["wrong", "wrong"], ["memorised", "the wrong label of the training set"]];
  const signs = {add: "+", subtract: "−", multiply: "×", divide: "÷"};

  function showAnswers() {
    const all = arrays.answers.shape;  // moments, orders, counts, p, p: one order and count where pruning is not shown
    const table = part("answers", moment(), all[1] > 1 ? orderNumber() : 0, all[2] > 1 ? state.point : 0);
    const found = [0, 0, 0, 0];
    const image = new Float32Array(p * p);
    for (let m = 0; m < p; m++) for (let n = 0; n < p; n++) {
      const kind = table[m * p + n];
      found[kind] += 1;
      image[n * p + m] = kind;  // Bokeh's rows go upwards
    }
    models["answers-source"].data = {image: [ndarray(image, {dtype: "float32", shape: [p, p]})]};
    models["answers-palette"].palette = [...KINDS.map(([name]) => page.colour(name)), page.colour("paper")];
    const questions = p * p - found[3];
    $("answer-counts").replaceChildren(...KINDS.map(([name, label], kind) => {
      const item = document.createElement("li"), key = document.createElement("i");
      key.style.background = `var(--${name})`;
      item.dataset.kind = name;
      item.dataset.count = found[kind];
      item.append(key, `${label}: ${found[kind]} (${(100 * found[kind] / questions).toFixed(1)} %)`);
      return item;
    }));
    state.answers = table;
  }

  function question(m, n) {
    if (!(m >= 0 && m < p && n >= 0 && n < p)) return "";
    const true_ = arrays.true.data[m * p + n], given = arrays.given.data[m * p + n];
    if (true_ < 0) return "no question";
    const what = given < 0 ? `in ${arrays.tested.data[m * p + n] ? "the test" : "neither"} set` : given === true_ ? "in the training set"
      : `in the training set, with the label ${given}`;
    return `${m} ${signs[config.operation]} ${n} = ${true_}, ${what}: ${KINDS[state.answers[m * p + n]][1]}`;
  }

  // ---- neurons ----

  const iprOf = (neuron) => part("ipr", moment())[neuron];

  function showHistogram() {
    const ipr = part("ipr", moment()), without = gone();
    const all = new Array(style.bins).fill(0), kept = new Array(style.bins).fill(0);
    ipr.forEach((value, neuron) => {
      const bin = Math.min(style.bins - 1, Math.floor(value * style.bins));  // a pure wave has 1 up to rounding
      all[bin] += 1;
      if (!without.has(neuron)) kept[bin] += 1;
    });
    const bottom = 0.7;  // of a logarithmic axis, which has no 0
    models.bins.data = {x: all.map((_, bin) => (bin + 0.5) / style.bins), all: all.map((one) => one || bottom),
                        kept: kept.map((one) => one || bottom)};
    models.ipr.y_range.end = 1.5 * Math.max(...all);
    $("ipr-mean").textContent = `Mean ${number(ipr.reduce((sum, one) => sum + one, 0) / ipr.length)}`
      + (without.size && without.size < ipr.length
         ? `, of those that are left ${number(ipr.reduce((sum, one, k) => sum + (without.has(k) ? 0 : one), 0)
                                             / (ipr.length - without.size))}.` : ".");
  }

  // A small picture: the vectors as lines, below them the spectrum as bars.
  function sketch(canvas, index) {
    const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
    if (!width) return;
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    const top = height * 0.68, shares = part("shares", moment(), index);
    vectors.forEach((name, vector) => {
      const x = part("weights", moment(), index, vector);
      pen.strokeStyle = style.vectors[name];
      pen.globalAlpha = 0.85;
      pen.beginPath();
      x.forEach((value, i) => pen.lineTo((i + 0.5) * width / x.length, top / 2 * (1 - value / (levels + 3))));
      pen.stroke();
    });
    pen.globalAlpha = 1;
    pen.fillStyle = page.colour("ink");
    shares.forEach((share, frequency) => {
      const bar = share / 255 * (height - top);
      pen.fillRect(frequency * width / shares.length, height - bar, Math.max(1, width / shares.length - 0.5), bar);
    });
  }

  const options = new Map();  // the grid's entry of each neuron that is shown
  const seen = new Set();
  const watcher = new IntersectionObserver((entries) => entries.forEach(({target, isIntersecting}) => {
    const neuron = Number(target.dataset.neuron);
    if (!isIntersecting) return void seen.delete(neuron);
    seen.add(neuron);
    sketch(target.querySelector("canvas"), options.get(neuron).index);
  }), {root: null, rootMargin: "100px"});

  function makeGrid() {
    arrays.neurons.data.forEach((neuron, index) => {
      const option = document.createElement("div");
      option.setAttribute("role", "option");
      option.id = `neuron-${neuron}`;
      option.dataset.neuron = neuron;
      option.append(document.createElement("canvas"), document.createElement("span"));
      option.addEventListener("click", () => choose(neuron));
      options.set(neuron, {option, index});
      watcher.observe(option);
    });
    $("grid").addEventListener("keydown", (event) => {
      const all = [...$("grid").children], at = all.indexOf(options.get(state.neuron).option);
      const columns = getComputedStyle($("grid")).gridTemplateColumns.split(" ").length;
      const to = {ArrowLeft: at - 1, ArrowRight: at + 1, ArrowUp: at - columns, ArrowDown: at + columns, Home: 0,
                  End: all.length - 1}[event.key];
      if (to === undefined || to < 0 || to >= all.length) return;
      event.preventDefault();
      choose(Number(all[to].dataset.neuron));
      options.get(state.neuron).option.focus();
    });
    $("neurons-note").textContent = `${arrays.neurons.data.length} of ${part("ipr", 0).length} ${values.noun}s. Lines: `
      + vectors.map((name) => ({U: "row of U (blue)", V: "row of V (red)", W: "column of W (green)",
                                embedding: "column of the embedding"})[name]).join(", ")
      + `; bars: their spectrum. Arrow keys go from one to the next${hasPruning ? "; faint: pruned" : ""}.`;
    $("neurons-title").textContent = `${noun}s, highest IPR first`;
    $("ipr-note").textContent = `A ${values.noun} whose weights are one wave along ${values.waves} has IPR 1.`
      + (hasPruning ? " Outlined: all; filled: those that are not pruned." : "");
  }

  function showGrid() {
    const ipr = part("ipr", moment()), without = gone();
    const sorted = [...options.keys()].sort((a, b) => ipr[b] - ipr[a] || a - b);
    if (state.neuron === null) state.neuron = sorted[0];
    for (const neuron of sorted) {
      const {option, index} = options.get(neuron), chosen = neuron === state.neuron;
      option.querySelector("span").textContent = `${neuron} · ${number(ipr[neuron], 3)}`;
      option.setAttribute("aria-label", `${values.noun} ${neuron}, IPR ${number(ipr[neuron], 3)}, frequency `
        + `${part("frequency", moment())[index]}${without.has(neuron) ? ", pruned" : ""}`);
      option.setAttribute("aria-selected", chosen);
      option.tabIndex = chosen ? 0 : -1;
      option.classList.toggle("gone", without.has(neuron));
    }
    $("grid").replaceChildren(...sorted.map((neuron) => options.get(neuron).option));
    seen.forEach((neuron) => sketch(options.get(neuron).option.querySelector("canvas"), options.get(neuron).index));
  }

  function showNeuron() {
    const {index} = options.get(state.neuron), s = part("frequency", moment())[index];
    const share = part("shares", moment(), index), lines = {}, wound = {};
    const length = values.places, places = Array.from({length}, (_, i) => i);
    // By the place on the wave of frequency s; equal places (where s and length have a common factor) stay as they are.
    const unwound = [...places].sort((a, b) => (s * a) % length - (s * b) % length || a - b);
    vectors.forEach((name, vector) => {
      const scale = part("scale", moment(), index)[vector] / levels;
      const x = Array.from(part("weights", moment(), index, vector), (value) => value * scale);
      lines[name] = x;
      wound[name] = unwound.map((i) => x[i]);
    });
    models.neuron.data = {i: places, angle: places, ...lines};
    models["neuron-unwound"].data = {angle: unwound.map((i) => (s * i) % length), ...wound};
    models.spectrum.data = {frequency: Array.from(share.keys()), share: Array.from(share, (one) => one / 255)};
    $("one-title").textContent = `${noun} ${state.neuron}`;
    $("one-note").textContent = `Step ${moments[moment()]}: IPR ${number(iprOf(state.neuron))}, strongest frequency s = ${s}, `
      + `with ${(share[s] / 2.55).toFixed(0)} % of the power.`;
  }

  // ---- all together ----

  function show() {
    showStep();
    if (hasPruning) showPruning();
    if (values.modular) showAnswers();
    if (hasNeurons) {
      showHistogram();
      showGrid();
      showNeuron();
    }
  }

  function choose(neuron) {
    state.neuron = neuron;
    showGrid();
    showNeuron();
  }

  let waiting = false;  // many events of a slider come between two frames
  function change(changes) {
    Object.assign(state, changes);
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; show(); });
  }

  let playing = null;
  function play(on) {
    clearInterval(playing);
    playing = on ? setInterval(() => {
      if (state.row === steps.length - 1) return play(false);
      $("step").value = state.row + 1;
      change({row: state.row + 1});
    }, Math.max(60, 8000 / steps.length)) : null;
    $("play").textContent = on ? "Pause" : "Play";
    $("play").setAttribute("aria-pressed", on);
    if (on && state.row === steps.length - 1) change({row: 0});
  }

  $("setting").textContent = values.setting;
  $("outcome").textContent = `Ends with train accuracy ${number(summary.train_accuracy)}, test accuracy `
    + `${number(summary.test_accuracy)}${summary.phase ? `: ${summary.phase}` : ""}.`;
  const stages = [["groks", summary.grok_step], ["unlearns", summary.unlearn_step]];
  $("stages").textContent = stages.filter(([, step]) => step !== null)
    .map(([name, step]) => `It ${name} at step ${step}.`).join(" ") || (sets.includes("test") ? "It does not grok." : "It has no test set.");
  stages.filter(([, step]) => step !== null).forEach(([name, step]) => {
    models[name].location = models[`${name}-label`].x = along(step);
    models[`${name}-label`].text = name;
  });
  models.rule.location = config.xi ? 1 - config.xi : null;
  models.history.data = {x: steps.map(along),
                         ...Object.fromEntries(sets.map((name) => [name, history[`${name}_accuracy`].map((v) => v ?? NaN)]))};
  const decades = [0];
  for (let ten = 1; ten < summary.steps; ten *= 10) decades.push(ten);
  models.steps.ticks = [...decades, summary.steps].map(along);

  $("step").max = steps.length - 1;
  $("step").value = state.row;
  $("step").addEventListener("input", () => { play(false); change({row: Number($("step").value)}); });
  $("play").addEventListener("click", () => play(playing === null));
  if (hasPruning) {
    $("prune").max = counts.length - 1;
    $("prune").addEventListener("input", () => change({point: Number($("prune").value)}));
    $("order").append(...orders.map((name) => new Option(values.orders[name], name)));
    $("order").addEventListener("change", () => change({order: $("order").value}));
  }
  if (hasNeurons) makeGrid();
  $("question").textContent = values.modular
    ? `Each place is a question, m ${signs[config.operation]} n mod ${p}: what the network answers${arrays.answers.shape[2] > 1 ? ", pruned as it is" : hasPruning ? ", unpruned" : ""}.` : "";
  for (const [id, there] of [["pruning", hasPruning], ["prune-control", hasPruning], ["answers", values.modular], ["ipr", hasNeurons], ["neurons", hasNeurons]])
    $(id).hidden = !there;
  page.dark.addEventListener("change", show);
  window.explorer = {state, models, question};
  show();
});
