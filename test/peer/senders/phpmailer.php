<?php
// php phpmailer.php TLS PORT CA USER PASSWORD SUBJECT
foreach (['Exception', 'SMTP', 'PHPMailer'] as $part) {
	require_once "/usr/share/php/libphp-phpmailer/src/$part.php";
}
[, $tls, $port, $ca, $user, $password, $subject] = $argv;
$mail = new PHPMailer\PHPMailer\PHPMailer(true);
$mail->isSMTP();
$mail->Host = 'localhost';
$mail->Port = (int) $port;
$mail->SMTPSecure = ['plain' => '', 'starttls' => 'tls', 'implicit' => 'ssl'][$tls];
$mail->SMTPAutoTLS = false;
$mail->SMTPOptions = ['ssl' => ['cafile' => $ca]];
$mail->SMTPAuth = $user !== '';
$mail->Username = $user;
$mail->Password = $password;
$mail->setFrom('a@example.com');
$mail->addAddress('b@example.net');
$mail->Subject = $subject;
$mail->Body = "hello\n.a dot\n";
$mail->send();
