<?php
$config = [
    'default-sp' => [
        'saml:SP',
        'entityID' => 'https://simplesamlphp.contoso.test/sp',
        'idp' => 'http://sts.contoso.test/adfs/services/trust',
        'privatekey' => 'sp.key',
        'certificate' => 'sp.pem',
        'sign.authnrequest' => true,
        'sign.logout' => true,
        'signature.algorithm' => 'http://www.w3.org/2001/04/xmldsig-more#rsa-sha256',
    ],
];
