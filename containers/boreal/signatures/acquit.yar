// Acquit's own first rule set for YARA and YARA-X.
// Copyright the Acquit authors. Licensed under the Apache License, Version 2.0.
//
// A rule with the tag `suspicious` gives the verdict suspicious, any other one
// malicious. Strings that other scanners look for are written in hexadecimal,
// so that this file is not detected itself.

rule Acquit_Eicar_Test_File : test {
    meta:
        description = "The EICAR anti-malware test file"
        license = "Apache-2.0"
    strings:
        $head = { 58 35 4F 21 50 25 40 41 50 5B 34 5C 50 5A 58 35 34 28 50 5E 29 37 43 43 29 37 7D 24 }
        $tail = { 45 49 43 41 52 2D 53 54 41 4E 44 41 52 44 2D 41 4E 54 49 56 49 52 55 53 2D 54 45 53 54 2D 46 49 4C 45 21 24 48 2B 48 2A }
    condition:
        $head at 0 and $tail at 28 and filesize <= 128
}

rule Acquit_Macro_Downloader : macro {
    meta:
        description = "Document macro that starts by itself, fetches a file and runs it"
        license = "Apache-2.0"
    strings:
        $start = /\bSub[ \t]{1,4}(AutoOpen|AutoExec|Auto_Open|Document_Open|Workbook_Open)[ \t]{0,4}\(/ nocase
        $fetch1 = "URLDownloadToFile" nocase
        $fetch2 = "MSXML2.XMLHTTP" nocase
        $fetch3 = "WinHttp.WinHttpRequest" nocase
        $run1 = "WScript.Shell" nocase
        $run2 = /\bShell[ \t(]{1,4}["A-Za-z]/ nocase
        $run3 = "ShellExecute" nocase
        $vba1 = "Attribute VB_" nocase
        $vba2 = /\b(Private |Public )?Sub [A-Za-z_]{1,40}\(\)/ nocase
    condition:
        filesize < 8MB and uint16(0) != 0x5A4D and uint32(0) != 0x464C457F
        and $start and any of ($fetch*) and any of ($run*) and any of ($vba*)
}

rule Acquit_Script_Hidden_PowerShell_Downloader {
    meta:
        description = "Script that runs fetched code in a hidden PowerShell"
        license = "Apache-2.0"
    strings:
        $shell = "powershell" nocase
        $hidden = /-w(indowstyle)?[ \t]{1,4}hidden/ nocase
        $fetch = /Net\.WebClient\)?[^\r\n]{0,20}\.Download(String|File|Data)/ nocase
        $run1 = /\bIEX\b/ nocase
        $run2 = "Invoke-Expression" nocase
    condition:
        filesize < 1MB and uint16(0) != 0x5A4D and $shell and $hidden and $fetch and any of ($run*)
}

rule Acquit_Script_Reverse_Shell {
    meta:
        description = "Script that hands a shell to a remote host"
        license = "Apache-2.0"
    strings:
        $bash = /\bbash[ \t]{1,4}-i[ \t]{1,4}>&[ \t]{0,4}\/dev\/tcp\/[0-9A-Za-z.-]{1,80}\/[0-9]{1,5}/
        $dup0 = /os\.dup2\([ \t]{0,4}[A-Za-z_]{1,20}\.fileno\(\)[ \t]{0,4},[ \t]{0,4}0[ \t]{0,4}\)/
        $dup1 = /os\.dup2\([ \t]{0,4}[A-Za-z_]{1,20}\.fileno\(\)[ \t]{0,4},[ \t]{0,4}1[ \t]{0,4}\)/
        $shell = /["']\/bin\/(ba|da|z)?sh["']/
    condition:
        filesize < 1MB and uint32(0) != 0x464C457F and ($bash or ($dup0 and $dup1 and $shell))
}

rule Acquit_Python_Package_Dropper {
    meta:
        description = "Python set-up script that runs encoded or fetched code while it is installed"
        license = "Apache-2.0"
    strings:
        $setup = /\bsetup[ \t]{0,4}\(/
        $import = /(from setuptools|import setuptools|from distutils|import distutils)/
        $encoded = /\bexec[ \t]{0,4}\([ \t]{0,4}(__import__\(["']base64["']\)|base64)\.b(64|32|85)decode[ \t]{0,4}\(/
        $fetched = /(os\.system|subprocess\.[A-Za-z_]{1,20})\([^\r\n]{0,40}(curl|wget)[^\r\n]{1,200}\|[ \t]{0,4}(ba)?sh\b/
    condition:
        filesize < 1MB and $setup and $import and ($encoded or $fetched)
}

rule Acquit_Php_Web_Shell {
    meta:
        description = "PHP page that runs what a visitor sends"
        license = "Apache-2.0"
    strings:
        $php = "<?php" nocase
        $run = /\b(eval|assert|system|passthru|shell_exec|popen)[ \t]{0,4}\([ \t]{0,4}(base64_decode[ \t]{0,4}\([ \t]{0,4}|stripslashes[ \t]{0,4}\([ \t]{0,4})?\$_(GET|POST|REQUEST|COOKIE)[ \t]{0,4}\[/ nocase
    condition:
        filesize < 2MB and $php and $run
}

rule Acquit_Pdf_Launch_Command {
    meta:
        description = "PDF that starts a command when it is opened"
        license = "Apache-2.0"
    strings:
        $open = /\/(OpenAction|AA)\b/
        $launch = /\/S[ \t\r\n]{0,4}\/Launch\b/
        $command = /\/F[ \t\r\n]{0,4}\([^)\r\n]{0,80}(cmd|powershell|mshta|wscript)(\.exe)?/ nocase
    condition:
        uint32(0) == 0x46445025 and $open and $launch and $command
}

rule Acquit_Coin_Miner_Configuration : suspicious {
    meta:
        description = "Configuration of a coin miner"
        license = "Apache-2.0"
    strings:
        $pool = /stratum\+(tcp|ssl):\/\/[0-9A-Za-z.-]{4,80}:[0-9]{2,5}/
        $donate = "\"donate-level\""
        $pools = "\"pools\""
        $user = /"user"[ \t]{0,4}:[ \t]{0,4}"[0-9A-Za-z]{90,110}/
    condition:
        filesize < 1MB and uint16(0) != 0x5A4D and $pool and 2 of ($donate, $pools, $user)
}
