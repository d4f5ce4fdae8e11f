<?php
// The application behind SimpleSAMLphp: it shows who is signed in, or signs out.
require_once '/usr/share/simplesamlphp/lib/_autoload.php';
$sp = new SimpleSAML\Auth\Simple('default-sp');
if (isset($_GET['logout'])) {
    $sp->logout('https://simplesamlphp.contoso.test/');
}
$sp->requireAuth(['isPassive' => isset($_GET['passive'])]);
$nameID = $sp->getAuthData('saml:sp:NameID');
header('Content-Type: application/json');
echo json_encode([
    'nameID' => $nameID->getValue(),
    'format' => $nameID->getFormat(),
    'attributes' => $sp->getAttributes(),
], JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE);
