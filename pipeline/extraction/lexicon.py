"""Words that tell running text from the furniture of a page: function words of many languages, stock phrases."""

from __future__ import annotations

from typing import Final

from pipeline.extraction.hashing import hash_table

STOP: Final = 1
BOILER: Final = 2
DATE: Final = 4
COMMERCE: Final = 8
SOCIAL: Final = 16
ACCOUNT: Final = 32

_STOP = """
a about after all also an and any are as at be because been but by can could did do does for from get had has have he her
here his how i if in into is it its just like me more my no not of on one only or other our out over she so some such than
that the their them then there these they this to up us was we were what when where which while who will with would you your
der die das und ist nicht ein eine einen einem einer zu den mit auf für im von sich des dem auch als sie er es wir ich wird
werden sind war bei aus nach wie noch oder aber kann hat haben dass über um am zum zur nur so wenn man
le la les de des du et un une est dans que qui pour pas par sur au aux avec plus ce cette ses son sa il elle ils nous vous
je ne se ou mais on sont été être comme leur leurs dont aussi fait
el los las y en del al se por con una su para como más pero sus le ya este sí porque esta entre cuando muy sin sobre también
me hasta hay donde quien desde todo nos durante uno ni contra ese eso mi
il lo gli di che è per non con del della dei delle nel nella alla sono da dal più anche come ma si al ha questo questa essere
o os as um uma do da dos das em no na nos nas ao à pelo pela com não mais foi ser são seu sua que também mas quando já
het een van en dat op te zijn met voor niet aan er om ook dan maar bij uit nog naar door ze heeft
och att det som på är av för med den till inte har de ett om jag vi men kan så från eller
og det er på til at som en den for med av ikke har han vi jeg
ja on ei se että oli ovat mutta kun hän tai myös
i w na z do się nie jest to że o jak po co tak za od ale czy przez jego są
a je v na se že s z do to jsem by byl ale jako o za pro
ve bir bu da de için ile çok olarak daha ne gibi
и в не на что с как по это из у за от но к же то его так все для бы мы они был она было только
та що не до як за це від але про його
και να το της την του για με που σε είναι από
yang dan di untuk dengan ini itu dari pada tidak akan
và của là có trong cho được không một những với các
"""
_CJK_STOP = (
    "的是了在不有和人我他这這個个们們你她它也就都而及与與着或被把对對从從之于於上下中"
    "のにはをたがでとしれさるもすなてりいまか"
)

_BOILER = """
copyright rights reserved privacy policy terms conditions cookies cookie disclaimer sitemap advertise advertisement
advertisements sponsored newsletter newsletters subscribe subscription unsubscribe menu navigation search skip home contact
faq help careers jobs imprint impressum datenschutz agb mentions légales aviso accessibility feedback rss
read more show view load see related recommended popular trending latest previous next back top continue older newer close
click here print email tags filed category categories topics archive archives toggle expand collapse javascript browser
loading powered wordpress theme hosted permalink download app store
"""
_DATE = """
january february march april may june july august september october november december jan feb mar apr jun jul aug sep sept
oct nov dec monday tuesday wednesday thursday friday saturday sunday januar februar märz mai juni juli oktober dezember
janvier février mars avril juin juillet août septembre octobre novembre décembre enero febrero marzo abril mayo junio julio
agosto septiembre octubre noviembre diciembre published updated posted am pm ago hours minutes days gmt est edt utc min
年 月 日
"""
_COMMERCE = """
price prices cart buy add shipping checkout stock wishlist qty quantity sale discount off order delivery returns warranty sku
reviews review rating ratings stars compare sold usd eur gbp kaufen warenkorb preis panier acheter comprar precio
"""
_SOCIAL = """
share tweet facebook twitter instagram linkedin pinterest whatsapp youtube reddit telegram follow like likes comment comments
reply replies retweet pin tumblr messenger teilen partager compartir
"""
_ACCOUNT = """
login log sign signin signup register password username account forgot member members profile join guest user logout anmelden
registrieren connexion quote report edit delete flag vote votes views joined posts
"""


def _classes() -> dict[str, int]:
    classes: dict[str, int] = {}
    listed = [
        (_STOP, STOP),
        (_BOILER, BOILER),
        (_DATE, DATE),
        (_COMMERCE, COMMERCE),
        (_SOCIAL, SOCIAL),
        (_ACCOUNT, ACCOUNT),
    ]
    for words, bit in listed:
        for word in words.split():
            classes[word] = classes.get(word, 0) | bit
    for character in _CJK_STOP:
        classes[character] = STOP
    return classes


WORD_KEYS, WORD_VALUES = hash_table(_classes())
