// SPDX-License-Identifier: BSD-2-Clause
// Headless Chromium for browser.py: node browser.js PLAYWRIGHT_CORE. A line of JSON in, a line out, until stdin ends.
"use strict";
const { chromium } = require(process.argv[2]);

const pages = [];

// What a page asked for and complained of, from its start.
function record(page) {
	const book = { answers: [], errors: [], pending: new Set() };
	page.on("request", request => book.pending.add(request));
	page.on("requestfailed", request => {
		book.pending.delete(request);
		const why = request.failure()?.errorText || "";
		// Leaving a page or closing a viewer gives up on what is under way.
		if (!why.includes("ERR_ABORTED"))
			book.errors.push(`${request.url()}: ${why}`);
	});
	// Not at its end, which is not told of pictures that a viewer has given up on.
	page.on("response", answer => {
		book.pending.delete(answer.request());
		book.answers.push([answer.status(), answer.url()]);
	});
	page.on("console", line => line.type() === "error" && book.errors.push(line.text()));
	page.on("pageerror", error => book.errors.push(String(error)));
	return book;
}

const commands = {
	async open({ width, height, dark, touch, scripts = true }) {
		const context = await browser.newContext({
			viewport: { width, height }, colorScheme: dark ? "dark" : "light", hasTouch: Boolean(touch),
			isMobile: Boolean(touch), javaScriptEnabled: scripts, reducedMotion: "reduce",
		});
		const page = await context.newPage();
		page.setDefaultTimeout(60000);
		return pages.push({ page, context, book: record(page) }) - 1;
	},
	go: ({ page }, { url }) => page.goto(url, { waitUntil: "domcontentloaded" }).then(answer => answer?.status() ?? 0),
	evaluate: ({ page }, { js }) => page.evaluate(js),
	click: ({ page }, { selector }) => page.click(selector),
	fill: ({ page }, { selector, text }) => page.fill(selector, text),
	choose: ({ page }, { selector, value }) => page.selectOption(selector, value),
	press: ({ page }, { key }) => page.keyboard.press(key),
	async wheel({ page }, { x, y, by }) {
		await page.mouse.move(x, y);
		await page.mouse.wheel(0, by);
	},
	shot: ({ page }, { path, whole }) => page.screenshot({ path, fullPage: Boolean(whole), animations: "disabled", timeout: 120000 }),
	book: ({ book }) => ({ ...book, pending: [...book.pending].map(request => request.url()) }),
	close: ({ context }) => context.close(),
};

let browser;

async function answer(line) {
	const { command, page, ...words } = JSON.parse(line);
	try {
		const result = page === undefined ? await commands[command](words) : await commands[command](pages[page], words);
		return { result: Buffer.isBuffer(result) || result === undefined ? null : result };
	} catch (error) {
		return { error: String(error) };
	}
}

async function main() {
	browser = await chromium.launch({
		executablePath: process.argv[3] || "/usr/bin/chromium",
		args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
			"--disable-sync", "--disable-dev-shm-usage",
			// No other host is asked for anything.
			"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", ...process.argv.slice(4)],
	});
	for await (const line of require("readline").createInterface({ input: process.stdin }))
		process.stdout.write(JSON.stringify(await answer(line)) + "\n");
	await browser.close();
}

main();
