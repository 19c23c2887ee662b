"use strict";
ddbenchPage.showPictures = ((show) => { // pictures enlarge; one class is shown side by side
  for (const image of document.querySelectorAll(".pictures img")) {
    const figure = image.closest("figure"), button = document.createElement("button");
    button.type = "button";
    button.className = "frame";
    button.setAttribute("aria-label", `Enlarge: ${image.alt}`);
    image.before(button);
    button.append(image);
    button.addEventListener("click", () => {
      const large = figure.cloneNode(true), picture = large.querySelector("img");
      const scale = Math.max(2, Math.floor(Math.min(0.85 * innerWidth / image.width, 0.7 * innerHeight / image.height, 8)));
      picture.width = image.width * scale;
      picture.height = image.height * scale;
      picture.style.marginTop = ""; // of one class
      large.querySelector(".frame").replaceWith(picture);
      large.querySelector("figcaption").remove();
      large.classList.remove("one");
      show(figure.querySelector("figcaption").textContent, large);
    });
  }
  for (const list of document.querySelectorAll(".pictures")) {
    const figures = [...list.querySelectorAll("figure")];
    const namesOf = (figure) => [...figure.querySelectorAll(".classes li")].map((item) => item.textContent);
    const names = [...new Set(figures.flatMap(namesOf))];
    if (names.length < 2) continue;
    const label = document.createElement("label"), choice = document.createElement("select");
    label.className = "one-class";
    choice.append(new Option("all", ""), ...names.map((name) => new Option(name)));
    label.append("Class ", choice);
    list.before(label);
    choice.addEventListener("change", () => {
      for (const figure of figures) {
        const rows = namesOf(figure), row = rows.indexOf(choice.value), image = figure.querySelector("img");
        const height = Number(image.getAttribute("height")) / rows.length, width = Number(image.getAttribute("width"));
        figure.classList.toggle("one", row >= 0);
        figure.classList.toggle("without", row < 0 && choice.value !== "");
        for (const [index, item] of figure.querySelectorAll(".classes li").entries()) item.classList.toggle("shown", index === row);
        const frame = image.parentElement;
        frame.style.aspectRatio = row >= 0 ? `${width} / ${height}` : "";
        image.style.marginTop = row >= 0 ? `${-100 * row * height / width}%` : "";
      }
    });
  }
});
