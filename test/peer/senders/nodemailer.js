// node nodemailer.js TLS PORT CA USER PASSWORD SUBJECT
const nodemailer = require("nodemailer");
const fs = require("fs");

const [tls, port, ca, user, password, subject] = process.argv.slice(2);
const transport = nodemailer.createTransport({
	host: "localhost",
	port: Number(port),
	secure: tls === "implicit",
	requireTLS: tls === "starttls",
	ignoreTLS: tls === "plain",
	tls: { ca: fs.readFileSync(ca) },
	auth: user ? { user, pass: password } : undefined,
});

transport.sendMail({ from: "a@example.com", to: "b@example.net", subject, text: "hello\n.a dot\n" })
	.then(() => transport.close())
	.catch((error) => {
		console.error(error);
		process.exit(1);
	});
